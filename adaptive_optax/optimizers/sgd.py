"""SGD: gradient descent, with momentum if wanted (Polyak, 1964; Nesterov, 1983).

    d = g                                                plain
    trace <- momentum trace + g,   d = trace             momentum (heavy ball)
    trace <- momentum trace + g,   d = g + momentum trace   Nesterov

Gradient descent, stochastic and mini-batch gradient descent are this one rule; they differ in
the examples that g is taken over. No slot a parameter, one with momentum. Stable on a quadratic
of curvature L for learning_rate * L below 2, 2 (1 + momentum) with momentum, and
2 (1 + momentum) / (1 + 2 momentum) with Nesterov's. When to use it: convolutions with a tuned
rate and schedule; anything where no second moment fits in memory.
Departures: the learning rate is applied after the trace (as torch and optax do; Sutskever et al.,
2013, have it inside), so that a rate of 0 stops at once; Nesterov's is written at the looked-ahead
point, as all libraries do.
"""

from typing import NamedTuple

from adaptive_optax.core.arrays import scaled, zeros_slot
from adaptive_optax.core.checks import check_flag, check_fraction
from adaptive_optax.core.descend import descend
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.lift import NoSlots
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.types import Scalar, Schedule, Transformation


class SgdSlots(NamedTuple):
    """What momentum remembers."""

    trace: Signed  # undamped sum of gradients


def scale_by_sgd(momentum: Scalar | None = None, nesterov: bool = False) -> Transformation:
    """The gradient, or its momentum.

    Args:
      momentum: share of the trace that is kept, in [0, 1); None keeps no trace.
      nesterov: looks one step of momentum ahead.

    Raises:
      ValueError: for a momentum out of range, or nesterov without momentum.
    """
    check_flag("sgd", nesterov=nesterov)
    if momentum is None:
        if nesterov:
            raise ValueError("sgd(nesterov=True): give a momentum too, such as momentum=0.9.")
        return leafwise(
            NoSlots, lambda p: NoSlots(), lambda g, slots, p, shared: (g, slots), per_step=None
        )
    check_fraction("sgd", momentum=momentum)

    def init(p):
        return SgdSlots(trace=zeros_slot(p))

    def update(g, slots, p, count):
        trace = scaled(slots.trace, momentum) + g
        return g + scaled(trace, momentum) if nesterov else trace, SgdSlots(trace)

    return leafwise(SgdSlots, init, update)


def sgd(
    learning_rate: Scalar | Schedule, *, momentum: Scalar | None = None, nesterov: bool = False
) -> Transformation:
    """Gradient descent, with `scale_by_sgd`'s momentum.

    >>> import jax.numpy as jnp
    >>> tx = sgd(0.1, momentum=0.9)
    >>> params = jnp.array(1.0)
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     updates, state = tx.update(jnp.array(1.0), state, params)
    >>> round(float(updates), 6)
    -0.19
    """
    return descend(scale_by_sgd(momentum, nesterov), learning_rate)
