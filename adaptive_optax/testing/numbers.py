"""Properties of precision and range: narrow parameters, huge and tiny gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.testing import trees
from adaptive_optax.testing.case import Case, promise
from adaptive_optax.testing.result import BrokenError, during

# The largest gradients of either sign that a working program may meet, per dtype.
HUGE = {"float32": 1e20, "bfloat16": 1e20, "float16": 6e4}
STEPS = 2000
# Rounding to bfloat16 changes a value by at most 2^-9 of it; two such roundings and slack.
BF16 = 2.0**-7
# Share of updates that may be off: if a rule takes a sign, a rounding can flip it.
EXCEPTIONS = 1e-3


@promise("numbers", "slots are float32 or wider for bfloat16 and float16 parameters")
def wide_slots(case: Case) -> None:
    """Look at the state that init gives."""
    for dtype in ("bfloat16", "float16"):
        for path, x in trees.paths(jax.eval_shape(case.tx.init, trees.params_of(dtype))):
            if trees.is_inexact(x) and jnp.finfo(x.dtype).bits < 32:
                raise BrokenError(f"{dtype} parameters: state {path} is {x.dtype}")


@promise("numbers", "updates have the dtype of their parameter, whatever the gradient's")
def update_dtype(case: Case) -> None:
    """Try nine pairs of dtypes, and an array for a learning rate."""
    for of_params, of_grads in itertools.product(trees.FLOATS, trees.FLOATS):
        with during(f"{of_params} parameters, {of_grads} gradients"):
            params = trees.params_of(of_params)
            grads = trees.grads_of(params, dtype=of_grads)
            updates = jax.eval_shape(case.step, grads, case.tx.init(params), params)[0]
            trees.same_form(params, updates, "update")
    if not case.fixed:
        with during("bfloat16 parameters, a float32 array for a learning rate"):
            params = trees.params_of("bfloat16")
            tx = case.at(jnp.float32(case.rate))
            updates = jax.eval_shape(tx.update, params, tx.init(params), params)[0]
            trees.same_form(params, updates, "update")


@promise(
    "numbers", "over thousands of steps bfloat16 parameters get the updates that float32 ones get"
)
def bfloat16_run(case: Case) -> None:
    """Give parameters of either dtype the same gradients, small ones after the first hundred.

    A second moment that is stored too narrow cannot decay, so its steps are too small.
    """
    narrow = trees.params_of("bfloat16")
    wide = jax.tree.map(lambda p: p.astype("float32"), narrow)
    scales = np.where(np.arange(STEPS) < 100, 1.0, 1e-3)[:, None, None]
    noise = jnp.asarray(
        scales * np.random.default_rng(0).standard_normal((STEPS, 4, 4)), "bfloat16"
    )

    def gradient(draw, params):
        grads = {"kernel": draw, "inner": {"bias": draw[0, :3]}}
        return jax.tree.map(lambda g, p: g.astype(p.dtype), grads, params)

    def updates(params):
        start = (params, case.tx.init(params))
        return trees.scan(case.tx, start, noise, gradient, moving=False)[1]

    exact, rounded = jax.jit(lambda: (updates(wide), updates(narrow)))()
    for (path, u), v in zip(trees.paths(exact), jax.tree.leaves(rounded), strict=True):
        truth, got = (np.asarray(x).astype(np.float64) for x in (u, v))
        off = ~(np.abs(got - truth) <= BF16 * np.abs(truth) + 1e-30)
        if off.mean() > EXCEPTIONS:
            at = tuple(np.argwhere(off)[-1])
            raise BrokenError(
                f"update {at[0] + 1} of {path} is {got[at]:.3g}, and {truth[at]:.3g} for float32 "
                f"parameters; {100 * off.mean():.0f} % of {STEPS} updates are off by more than a "
                f"rounding"
            )


@promise("numbers", "gradients of 1e20 (6e4 in float16) give finite updates and finite state")
def huge_gradients(case: Case) -> None:
    """Six updates with the largest gradients of each dtype, of either sign."""
    for dtype, value in HUGE.items():
        _stays_finite(case, dtype, [value, value, -value, value, -value, -value])


@promise("numbers", "after one gradient of 1e20 every coordinate moves again")
def after_huge(case: Case) -> None:
    """One gradient of 1e20, then sixty of 1: in the last thirty every coordinate must move."""
    params = trees.filled(trees.params_of(), 0.0)  # so that weight decay moves nothing
    _, state = case.step(trees.filled(params, 1e20), case.tx.init(params), params)
    ones = trees.filled(params, 1.0)
    (_, state), updates = jax.jit(
        lambda s: trees.scan(case.tx, (params, s), None, lambda *_: ones, moving=False, length=60)
    )(state)
    trees.finite(state, "60 updates after a gradient of 1e20: state")
    trees.finite(updates, "the 60 updates after a gradient of 1e20: update")
    for path, u in trees.paths(updates):
        if not np.all(np.any(np.asarray(u[30:]) != 0, axis=0)):
            raise BrokenError(f"60 gradients of 1 after one of 1e20 do not move {path}")


@promise("numbers", "gradients of 0 and 1e-30 give finite updates in every dtype")
def tiny_gradients(case: Case) -> None:
    """Zero, 1e-30 and the smallest normal number, at first and after an ordinary gradient."""
    for dtype in trees.FLOATS:
        smallest = float(jnp.finfo(dtype).tiny)
        _stays_finite(case, dtype, [0.0, 0.0, smallest, 1e-30, 1.0, 0.0, smallest])
        _stays_finite(case, dtype, [smallest, 1e-30, 0.0])


def _stays_finite(case: Case, dtype: str, values: list[float]) -> None:
    """Gradients that have one value in all places give finite updates and state."""
    params = trees.params_of(dtype)
    state = case.tx.init(params)
    for count, value in enumerate(values):
        with during(f"{dtype}, gradient {value:g}, update {count + 1}"):
            updates, state = case.step(trees.filled(params, value), state, params)
            trees.finite(updates, "update")
            trees.finite(state, "state")
