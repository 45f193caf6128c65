"""Properties under jax's transformations and settings: jit, scan, cond, vmap, grad, eval_shape."""

import itertools
import warnings

import jax
import jax.numpy as jnp

from adaptive_optax.testing import trees
from adaptive_optax.testing.case import Case, promise
from adaptive_optax.testing.result import BrokenError, during

# Relative difference between eager, jit, scan and vmap: each fuses and reduces in its own order.
ROUNDING = 1e-4


@promise(
    "state",
    "the state keeps tree, shapes, dtypes and weak types, for float32, bfloat16 and float16 "
    "parameters under gradients of each; one trace does for all steps",
)
def fixed_point(case: Case) -> None:
    """Compare forms over nine pairs of dtypes, and count the traces of a loop under jit."""
    for of_params, of_grads in itertools.product(trees.FLOATS, trees.FLOATS):
        with during(f"{of_params} parameters, {of_grads} gradients"):
            params = trees.params_of(of_params)
            state = case.tx.init(params)
            after = jax.eval_shape(
                case.step, trees.grads_of(params, dtype=of_grads), state, params
            )[1]
            trees.same_form(state, after, "state")
    params = trees.params_of()
    before = case.traces
    trees.run(case.tx, params, [trees.grads_of(params, seed) for seed in range(3)], case.step)
    if case.traces > before + 1:
        raise BrokenError(f"three updates under jit took {case.traces - before} traces")


@promise("state", "eager, jit, scan and cond give the same; nothing hides outside")
def eager_jit_scan(case: Case) -> None:
    """Compare four updates, run four ways; eagerly twice, which reveals state hidden outside.

    They start from zero, where a rule that measures its distance loses no digits.
    """
    tx, params = case.tx, trees.filled(trees.params_of(), 0.0)
    gradients = [trees.grads_of(params, seed) for seed in range(4)]
    _, state, eager = trees.run(tx, params, gradients)
    again = trees.run(tx, params, gradients[:2])[2]
    trees.close(again, eager[:2], "update", ("when run again", "the first time"))
    with during("under jit"):
        _, jitted_state, jitted = trees.run(tx, params, gradients, case.step)
        trees.close(jitted, eager, "update", ("under jit", "eagerly"), ROUNDING)
        trees.close(jitted_state, state, "state", ("under jit", "eagerly"), ROUNDING)
    start = (params, tx.init(params))
    with during("in scan"):
        (_, last), history = jax.jit(lambda c, g: trees.scan(tx, c, g))(
            start, trees.stacked(*gradients)
        )
        trees.same_form(start[1], last, "state")
        trees.close(history, trees.stacked(*eager), "update", ("in scan", "eagerly"), ROUNDING)
    with during("in cond"):
        jax.eval_shape(
            lambda c: jax.lax.cond(
                True, lambda c: tx.update(c[0], c[1], c[0])[1], lambda c: c[1], c
            ),
            start,
        )


@promise("shapes", "init works on ShapeDtypeStructs, and under eval_shape")
def abstract_init(case: Case) -> None:
    """Give init `jax.ShapeDtypeStruct`s, under eval_shape and directly."""
    params = trees.params_of("bfloat16")
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params)
    state = case.tx.init(params)
    with during("init under eval_shape"):
        trees.same_form(state, jax.eval_shape(case.tx.init, shapes), "state")
    with during("init of ShapeDtypeStructs"):
        trees.same_form(state, case.tx.init(shapes), "state")


@promise("shapes", "vmap over seeds, and over learning rates, gives what each gives alone")
def vmap(case: Case) -> None:
    """Compare two updates over three seeds, and over three learning rates."""
    params = trees.params_of()
    pairs = [(params, trees.grads_of(params, seed)) for seed in range(3)]

    def twice(tx, params, grads):
        _, state = tx.update(grads, tx.init(params), params)
        return tx.update(grads, state, params)[0]

    def compare(function, each):
        batched = jax.jit(jax.vmap(function))(*trees.stacked(*each))
        single = jax.jit(function)
        alone = trees.stacked(*(single(*one) for one in each))
        trees.close(batched, alone, "update", ("under vmap", "alone"), ROUNDING)

    with during("over seeds"):
        compare(lambda *pair: twice(case.tx, *pair), pairs)
    if not case.fixed:
        with during("over learning rates"):
            rates = [(jnp.float32(case.rate * factor),) for factor in (1.0, 2.0, 0.5)]
            compare(lambda rate: twice(case.at(rate), *pairs[0]), rates)


@promise("shapes", "the learning rate may be traced, and differentiated through")
def traced_rate(case: Case) -> None:
    """Compare the slope of a short path in the learning rate with a difference quotient.

    One gradient is zero. The path starts from zero, where the smallest steps lose no digits.
    """
    start = trees.filled(trees.params_of(), 0.0)
    target = trees.grads_of(start)
    target["kernel"] = target["kernel"].at[0, 0].set(0.0)

    def path(rate):
        tx = case.at(rate)
        (params, _), _ = trees.scan(
            tx,
            (start, tx.init(start)),
            None,
            lambda _, params: jax.tree.map(jnp.subtract, params, target),
            length=3,
        )
        ways = jax.tree.map(lambda p, t: jnp.sum(p * jnp.sign(t)), params, target)
        return sum(jax.tree.leaves(ways))

    rate, step = case.rate, 0.01 * case.rate
    walk = jax.jit(lambda traced: (*jax.value_and_grad(path)(traced), path(rate)))
    way, slope, fixed = walk(jnp.float32(rate))
    trees.close(way, fixed, "a path", ("traced", "not traced"), ROUNDING)
    trees.finite(slope, "the derivative in the learning rate")
    ends = [walk(jnp.float32(rate + sign * step))[0] for sign in (-1, 1)]
    low, high = sorted([(way - ends[0]) / step, (ends[1] - way) / step])
    slack = 0.03 * max(abs(low), abs(high)) + 1e-30
    if not low - slack <= slope <= high + slack:  # either side's slope, if a maximum has a kink
        raise BrokenError(
            f"the derivative of a path in the rate is {slope:.4g}, and not {high:.4g}"
        )


@promise(
    "strictness",
    "runs under strict dtype promotion, without rank promotion, and under debug_nans",
)
def strict_settings(case: Case) -> None:
    """Trace under the strictest promotion; look for NaNs, also inside, at zero gradients."""
    for dtype in ("float32", "bfloat16"):
        params = trees.params_of(dtype)
        transformations = {f"{dtype} parameters": case.tx}
        if not case.fixed:
            title = f"{dtype} parameters, a float32 array for a learning rate"
            transformations[title] = case.at(jnp.float32(case.rate))
        for title, tx in transformations.items():
            with (
                during(f"strict promotion, {title}"),
                jax.numpy_dtype_promotion("strict"),
                jax.numpy_rank_promotion("raise"),
            ):
                jax.eval_shape(tx.update, params, tx.init(params), params)
        with during(f"debug_nans, {dtype} parameters"), jax.debug_nans(True):
            trees.run(case.tx, params, [trees.filled(params, 0.0), trees.grads_of(params)])


@promise("strictness", "builds and runs without a warning")
def no_warnings(case: Case) -> None:
    """Build the transformation anew and use other shapes, so that everything is traced anew."""
    params = {"kernel": jnp.ones((5, 2)), "bias": jnp.ones(7, "bfloat16")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tx = case.fresh()
        state = tx.init(params)
        trees.run(tx, params, [params, params])
        jax.eval_shape(lambda g, s, p: tx.update(g, s, p), params, state, params)
