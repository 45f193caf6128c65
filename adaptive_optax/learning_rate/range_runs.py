"""The compiled programs of the range test: short runs at constant rates, and one that sweeps.

A run whose loss or gradient leaves the numbers stops there: its parameters and state stay as they
were, and what is returned holds no NaN, so that one run neither spoils the others of its `vmap`
nor trips `jax_debug_nans`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adaptive_optax.core.leaves import is_trained

MakeTx = Callable[[Any], Any]  # learning rate (traced), or a schedule -> transformation


class Problem(NamedTuple):
    """What is trained, and from where."""

    loss: Callable[[Any, Any, Any], jax.Array]  # params, stacked batches, step -> scalar
    params: Any
    batches: Any  # leaves (n, ...), or None
    dtype: Any  # of rates and losses


def start_losses(problem: Problem, steps: Sequence[int]) -> np.ndarray:
    """The losses at the first parameters on the batches of those steps."""

    def program(params, batches, steps):
        return jax.lax.map(lambda at: problem.loss(params, batches, at), steps)

    at = jnp.asarray(steps, jnp.int32)
    return np.asarray(jax.jit(program)(problem.params, problem.batches, at), np.float64)


def runner(
    problem: Problem, make_tx: MakeTx, shape: tuple[int, int], function: str
) -> Callable[[np.ndarray], np.ndarray]:
    """The compiled program of some runs at a time, from one start.

    Args:
      problem: what is trained.
      make_tx: learning rate -> transformation; is given a traced rate, or a schedule where it
        refuses one.
      shape: (runs at a time, steps).
      function: what an error calls the function.

    Returns:
      From rates of that shape to losses of that shape, each loss before its step; inf from the
      step on at which a run left the numbers.
    """
    forms = (make_tx, lambda rate: make_tx(lambda count: rate))
    refusals = []
    for form in forms:
        try:
            program = _compiled(problem, form, shape)
            break
        except Exception as error:
            refusals.append(error)
    else:
        refusals[0].add_note(
            f"{function}: make_tx, or what it made, failed with a traced learning rate, and with a "
            f"schedule in place of it ({type(refusals[1]).__name__}: {refusals[1]})."
        )
        raise refusals[0]

    def run(rates: np.ndarray) -> np.ndarray:
        rates = np.asarray(rates, problem.dtype)
        losses, lasted = program(problem.params, problem.batches, rates)
        alive = np.arange(shape[1]) < np.asarray(lasted)[:, None]
        return np.where(alive, np.asarray(losses, np.float64), np.inf)

    return run


def _compiled(problem: Problem, make: MakeTx, shape: tuple[int, int]) -> Any:
    def one(params, batches, rates):
        def step(carry, now):
            params, state, lasted = carry
            at, rate = now
            tx = optax.with_extra_args_support(make(rate))

            def loss_at(some):
                return problem.loss(some, batches, at)

            loss, grads = jax.value_and_grad(loss_at, allow_int=True)(params)
            grads = jax.tree.map(_gradient, grads, params)
            alive = (lasted == at) & _finite(loss) & _all_finite(grads)
            # What a lost run computes is thrown away; zeros keep it cheap and in the numbers.
            grads = jax.tree.map(lambda g: jnp.where(alive, g, jnp.zeros_like(g)), grads)
            loss = jnp.where(alive, loss, jnp.zeros_like(loss))
            updates, moved = tx.update(
                grads, state, params, value=loss, grad=grads, value_fn=loss_at
            )
            stepped = jax.tree.map(_stepped, params, updates)
            carry = jax.tree.map(
                lambda new, old: jnp.where(alive, _like(new, old), old),
                (stepped, moved),
                (params, state),
            )
            return (*carry, lasted + alive.astype(jnp.int32)), loss.astype(problem.dtype)

        state = optax.with_extra_args_support(make(rates[0])).init(params)
        state = jax.tree.map(jnp.asarray, state)
        carry = (params, state, jnp.zeros((), jnp.int32))
        (_, _, lasted), losses = jax.lax.scan(step, carry, (jnp.arange(shape[1]), rates))
        return losses, lasted

    rates = jax.ShapeDtypeStruct(shape, problem.dtype)
    lanes = jax.jit(jax.vmap(one, (None, None, 0)))
    return lanes.lower(problem.params, problem.batches, rates).compile()


def _gradient(g: Any, p: jax.Array) -> jax.Array:
    """Zeros for parameters that are not trained, in place of jax's float0."""
    return g if is_trained(p) else jnp.zeros_like(p)


def _like(new: Any, old: jax.Array) -> Any:
    """In the old one's dtype, which a loop has to keep; keys have none to cast to."""
    return new if new.dtype == old.dtype else new.astype(old.dtype)


def _stepped(p: jax.Array, u: Any) -> jax.Array:
    return optax.apply_updates(p, u) if is_trained(p) else p


def _finite(x: jax.Array) -> jax.Array:
    return jnp.all(jnp.isfinite(x))


def _all_finite(tree: Any) -> jax.Array:
    trained = [x for x in jax.tree.leaves(tree) if is_trained(x)]
    return jnp.all(jnp.stack([_finite(x) for x in trained])) if trained else jnp.array(True)
