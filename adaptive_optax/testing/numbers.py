"""Contract 2 and 3, precision and range: narrow parameters, hugest and tiniest gradients."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.testing.evidence import BrokenError, during, finite, same_form
from adaptive_optax.testing.subject import Subject
from adaptive_optax.testing.trees import (
    FLOATS,
    HUGE,
    filled,
    grads_of,
    is_inexact,
    params_of,
)

STEPS = 2000
# A value rounded to bf16 is off by at most half a step, 2^-9 of it; two such roundings and slack.
BF16 = 2.0**-7
# Updates that may be off: where a rule takes a sign, a rounding can turn it.
EXCEPTIONS = 1e-3


def wide_slots(subject: Subject) -> None:
    """Looks at the state that init gives."""
    for dtype in ("bfloat16", "float16"):
        state = jax.eval_shape(subject.tx.init, params_of(dtype))
        for path, x in jax.tree_util.tree_flatten_with_path(state)[0]:
            if is_inexact(x) and jnp.finfo(x.dtype).bits < 32:
                raise BrokenError(
                    f"{dtype} parameters: state {jax.tree_util.keystr(path)} is {x.dtype}"
                )


def update_dtype(subject: Subject) -> None:
    """Over nine pairs of dtypes; with an array for a learning rate too, where it has one."""
    for of_params, of_grads in itertools.product(FLOATS, FLOATS):
        with during(f"{of_params} parameters, {of_grads} gradients"):
            params = params_of(of_params)
            grads = grads_of(params, dtype=of_grads)
            state = subject.tx.init(params)
            same_form(params, jax.eval_shape(subject.step, grads, state, params)[0], "update")
    if not subject.fixed:
        with during("bfloat16 parameters, a float32 array for a learning rate"):
            params = params_of("bfloat16")
            tx = subject.at(jnp.float32(subject.rate))
            updates = jax.eval_shape(tx.update, params, tx.init(params), params)[0]
            same_form(params, updates, "update")


def bfloat16_run(subject: Subject) -> None:
    """The same gradients for parameters of either dtype, small ones after the first hundred.

    A second moment that is stored too narrow cannot decay, and shows as too small a step.
    """
    narrow = params_of("bfloat16")
    wide = jax.tree.map(lambda p: p.astype("float32"), narrow)
    scales = np.where(np.arange(STEPS) < 100, 1.0, 1e-3)[:, None, None]
    noise = jnp.asarray(
        scales * np.random.default_rng(0).standard_normal((STEPS, 4, 4)), "bfloat16"
    )

    def follow(params: Any) -> Any:
        def step(state, draw):
            grads = {"kernel": draw, "inner": {"bias": draw[0, :3]}}
            grads = jax.tree.map(lambda g, p: g.astype(p.dtype), grads, params)
            updates, state = subject.tx.update(grads, state, params)
            return state, updates

        return jax.jit(lambda: jax.lax.scan(step, subject.tx.init(params), noise)[1])()

    exact, rounded = follow(wide), follow(narrow)
    for (path, u), v in zip(
        jax.tree_util.tree_flatten_with_path(exact)[0], jax.tree.leaves(rounded), strict=True
    ):
        truth, got = (np.asarray(x).astype(np.float64) for x in (u, v))
        off = ~(np.abs(got - truth) <= BF16 * np.abs(truth) + 1e-30)
        if off.mean() > EXCEPTIONS:
            at = tuple(np.argwhere(off)[-1])
            raise BrokenError(
                f"update {at[0] + 1} of {jax.tree_util.keystr(path)} is {got[at]:.3g}, and "
                f"{truth[at]:.3g} for float32 parameters; {100 * off.mean():.0f} % of {STEPS} "
                f"updates are off by more than a rounding"
            )


def huge_gradients(subject: Subject) -> None:
    """Six updates with the hugest gradients of each dtype, of either sign."""
    for dtype, value in HUGE.items():
        _stays_finite(subject, dtype, [value, value, -value, value, -value, -value])


def after_huge(subject: Subject) -> None:
    """One gradient of 1e20, then sixty of 1: within the last thirty every coordinate moves."""
    params = filled(params_of(), 0.0)  # so that weight decay moves nothing
    _, state = subject.step(filled(params, 1e20), subject.tx.init(params), params)

    def step(state, _):
        updates, state = subject.tx.update(filled(params, 1.0), state, params)
        return state, updates

    state, updates = jax.jit(lambda s: jax.lax.scan(step, s, length=60))(state)
    finite(state, "60 updates after a gradient of 1e20: state")
    finite(updates, "the 60 updates after a gradient of 1e20: update")
    for path, u in jax.tree_util.tree_flatten_with_path(updates)[0]:
        if not np.all(np.any(np.asarray(u[30:]) != 0, axis=0)):
            raise BrokenError(
                f"60 gradients of 1 after one of 1e20 do not move {jax.tree_util.keystr(path)}"
            )


def tiny_gradients(subject: Subject) -> None:
    """Zero, 1e-30 and the smallest normal number, at first and after an ordinary gradient."""
    for dtype in FLOATS:
        smallest = float(jnp.finfo(dtype).tiny)
        _stays_finite(subject, dtype, [0.0, 0.0, smallest, 1e-30, 1.0, 0.0, smallest])
        _stays_finite(subject, dtype, [smallest, 1e-30, 0.0])


def _stays_finite(subject: Subject, dtype: str, values: list[float]) -> None:
    """Gradients that have one value in all places give finite updates and state."""
    params = params_of(dtype)
    state = subject.tx.init(params)
    for count, value in enumerate(values):
        with during(f"{dtype}, gradient {value:g}, update {count + 1}"):
            updates, state = subject.step(filled(params, value), state, params)
            finite(updates, "update")
            finite(state, "state")
