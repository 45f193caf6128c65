"""Contract 5, shape: init from shapes alone, vmap, and a traced learning rate."""

import functools

import jax
import jax.numpy as jnp

from adaptive_optax.testing.evidence import BrokenError, close, during, finite, same_form
from adaptive_optax.testing.subject import Subject
from adaptive_optax.testing.trees import filled, grads_of, params_of, stacked

# A batched program fuses and reduces in another order.
ROUNDING = 1e-4
# A slope against differences over one percent of the rate.
STEP, SLOPE = 0.01, 0.03


def abstract_init(subject: Subject) -> None:
    """Gives init `jax.ShapeDtypeStruct`s, under eval_shape and directly."""
    params = params_of("bfloat16")
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params)
    state = subject.tx.init(params)
    with during("init under eval_shape"):
        same_form(state, jax.eval_shape(subject.tx.init, shapes), "state")
    with during("init of ShapeDtypeStructs"):
        same_form(state, subject.tx.init(shapes), "state")


def vmap(subject: Subject) -> None:
    """Over three seeds; over three learning rates too, where it has one."""
    trees = [(params_of(), grads_of(params_of(), seed)) for seed in range(3)]

    def twice(tx, params, grads):
        _, state = tx.update(grads, tx.init(params), params)
        return tx.update(grads, state, params)[0]

    def compare(function, together, each):
        alone = jax.jit(function)
        batched = jax.jit(jax.vmap(function))(*together)
        names = ("under vmap", "alone")
        close(batched, stacked(*(alone(*one) for one in each)), "update", names, ROUNDING)

    with during("over seeds"):
        compare(functools.partial(twice, subject.tx), stacked(*trees), trees)
    if subject.fixed:
        return
    with during("over learning rates"):
        rates = [jnp.float32(subject.rate * factor) for factor in (1.0, 2.0, 0.5)]
        compare(
            lambda rate: twice(subject.at(rate), *trees[0]),
            [jnp.stack(rates)],
            [(rate,) for rate in rates],
        )


def traced_rate(subject: Subject) -> None:
    """The slope of a short path in the rate, one gradient being zero, against a difference.

    The path starts from zero, where the smallest steps lose no digits.
    """
    start = filled(params_of(), 0.0)
    target = grads_of(start)
    target["kernel"] = target["kernel"].at[0, 0].set(0.0)

    def path(rate):
        tx = subject.at(rate)

        def step(carry, _):
            params, state = carry
            grads = jax.tree.map(jnp.subtract, params, target)
            updates, state = tx.update(grads, state, params)
            return (jax.tree.map(jnp.add, params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=3)
        ways = jax.tree.map(lambda p, t: jnp.sum(p * jnp.sign(t)), params, target)
        return sum(jax.tree.leaves(ways))

    rate = subject.rate
    walk = jax.jit(jax.value_and_grad(path))
    way, slope = walk(jnp.float32(rate))
    close(way, jax.jit(lambda: path(rate))(), "a path", ("traced", "not traced"), ROUNDING)
    finite(slope, "the derivative in the learning rate")
    ends = [walk(jnp.float32(rate * (1 + sign * STEP)))[0] for sign in (-1, 1)]
    low, high = sorted([(way - ends[0]) / (STEP * rate), (ends[1] - way) / (STEP * rate)])
    slack = SLOPE * max(abs(low), abs(high)) + 1e-30
    if not low - slack <= slope <= high + slack:  # either side's, where a maximum has a kink
        raise BrokenError(
            f"the derivative of a path in the rate is {slope:.4g}, and not {high:.4g}"
        )
