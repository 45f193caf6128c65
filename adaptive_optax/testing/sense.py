"""Contract 9, sense: it goes down, the learning rate counts, and nothing moves for nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.testing.evidence import BrokenError, finite, unchanged
from adaptive_optax.testing.subject import RATE, Subject
from adaptive_optax.testing.trees import filled, grads_of, params_of, run

STEPS = 1000
RATES = (0.1, 1.0, 1e-3)  # tried besides its own, where none of its own is given


def descends(subject: Subject) -> None:
    """On |p|^2 / 2, from a distance of about 1: each leaf's loss must fall to less than half."""
    lost = _loss_left(subject.tx)
    tried = "the one it has" if subject.fixed else f"{subject.rate:g}"
    if not subject.default and subject.rate == RATE:
        for rate in RATES:
            if lost < 0.5:
                break
            lost = min(lost, _loss_left(subject.at(rate)))
            tried += f", {rate:g}"
    if not lost < 0.5:
        raise BrokenError(
            f"at learning rate {tried}: {STEPS} steps on a quadratic leave {lost:.3g} times the "
            f"loss it began with"
        )


def rate_zero(subject: Subject) -> None:
    """Four updates with learning rate 0."""
    params = params_of()
    gradients = [grads_of(params, seed) for seed in range(4)]
    unchanged(params, run(subject.at(0.0), params, gradients)[0], "the parameter")


def zero_gradients(subject: Subject) -> None:
    """Six from the start: a coordinate may stand, or go towards zero, as under weight decay."""
    params = params_of()
    after = run(subject.tx, params, [filled(params, 0.0)] * 6, subject.step)[0]
    finite(after, "the parameter")
    for (path, p), q in zip(
        jax.tree_util.tree_flatten_with_path(params)[0], jax.tree.leaves(after), strict=True
    ):
        share = np.asarray(q, np.float64) / np.asarray(p, np.float64)
        if share.max() > 1 or share.min() < 0:
            at = tuple(np.argwhere((share > 1) | (share < 0))[0])
            place = jax.tree_util.keystr(path) + str([int(i) for i in at])
            raise BrokenError(f"the parameter {place} went from {p[at]:.8g} to {q[at]:.8g}")


def _loss_left(tx: Any) -> float:
    """The largest share of a leaf's loss that is left; inf where the run ends in NaN."""

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(params, state, params)  # the gradient is the parameter
        return (jax.tree.map(jnp.add, params, updates), state), None

    start = params_of()
    carry = (start, tx.init(start))
    (params, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, length=STEPS))(carry)
    shares = [
        float(np.sum(np.square(np.asarray(p))) / np.sum(np.square(np.asarray(s))))
        for p, s in zip(jax.tree.leaves(params), jax.tree.leaves(start), strict=True)
    ]
    return max(shares) if np.all(np.isfinite(shares)) else float("inf")
