"""Properties of sanity: it descends, the learning rate counts, and zero gradients move nothing."""

from typing import Any

import jax
import numpy as np

from adaptive_optax.testing import trees
from adaptive_optax.testing.case import RATE, Case, promise
from adaptive_optax.testing.result import BrokenError

STEPS = 1000
RATES = (0.1, 1.0, 1e-3)  # tried as well if the constructor has no default


@promise("sense", "it goes down a quadratic as it is built by default")
def descends(case: Case) -> None:
    """On |p|^2 / 2, from a distance of about 1: each leaf's loss must fall to less than half."""

    def loss_left(tx: Any) -> float:
        """The largest share of a leaf's loss that is left; inf if the run ends in NaN."""
        start = trees.params_of()
        carry = (start, tx.init(start))
        (params, _), _ = jax.jit(  # the gradient is the parameter
            lambda c: trees.scan(tx, c, None, lambda _, params: params, length=STEPS)
        )(carry)
        shares = [
            float(np.sum(np.square(np.asarray(p))) / np.sum(np.square(np.asarray(s))))
            for p, s in zip(jax.tree.leaves(params), jax.tree.leaves(start), strict=True)
        ]
        return max(shares) if np.all(np.isfinite(shares)) else float("inf")

    lost = loss_left(case.tx)
    tried = "the one it has" if case.fixed else f"{case.rate:g}"
    if not case.default and case.rate == RATE:
        for rate in RATES:
            if lost < 0.5:
                break
            lost = min(lost, loss_left(case.at(rate)))
            tried += f", {rate:g}"
    if not lost < 0.5:
        raise BrokenError(
            f"at learning rate {tried}: {STEPS} steps on a quadratic leave {lost:.3g} times the "
            f"loss it began with"
        )


@promise("sense", "learning rate 0 moves nothing")
def rate_zero(case: Case) -> None:
    """Four updates with learning rate 0."""
    params = trees.params_of()
    gradients = [trees.grads_of(params, seed) for seed in range(4)]
    trees.unchanged(params, trees.run(case.at(0.0), params, gradients)[0], "the parameter")


@promise("sense", "zero gradients move nothing, but for decay towards zero")
def zero_gradients(case: Case) -> None:
    """Six from the start: a coordinate may stay, or move towards zero, as under weight decay."""
    params = trees.params_of()
    after = trees.run(case.tx, params, [trees.filled(params, 0.0)] * 6, case.step)[0]
    trees.finite(after, "the parameter")
    for (path, p), q in zip(trees.paths(params), jax.tree.leaves(after), strict=True):
        share = np.asarray(q, np.float64) / np.asarray(p, np.float64)
        if share.max() > 1 or share.min() < 0:
            at = tuple(int(i) for i in np.argwhere((share > 1) | (share < 0))[0])
            raise BrokenError(
                f"the parameter {path}{list(at)} went from {p[at]:.8g} to {q[at]:.8g}"
            )
