"""SGD: gradient descent, with momentum if wanted (Polyak, 1964; Nesterov, 1983).

    d = g                                                plain
    trace <- momentum trace + g,   d = trace             momentum (heavy ball)
    trace <- momentum trace + g,   d = g + momentum trace   Nesterov

Gradient descent, stochastic and mini-batch gradient descent are this one rule; they differ in
the examples that g is taken over. No slot per parameter, one with momentum. Stable on a quadratic
of curvature L for learning_rate * L below 2, 2 (1 + momentum) with momentum, and
2 (1 + momentum) / (1 + 2 momentum) with Nesterov's. When to use it: convolutions with a tuned
rate and schedule; anything where no second moment fits in memory.
Departures: the learning rate is applied after the trace (as torch and optax do; Sutskever et al.,
2013, have it inside), so that a rate of 0 stops at once; Nesterov's is written at the looked-ahead
point, as all libraries do.
"""

from typing import Any, NamedTuple

from adaptive_optax.core.arrays import scaled, zeros_slot
from adaptive_optax.core.checks import caller
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.rule import Moment, Moved, NoSlots, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, Fraction, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class SgdSlots(NamedTuple):
    """What momentum remembers."""

    trace: Signed  # undamped sum of gradients


class Sgd(Rule):
    """The gradient, or its momentum.

    Args:
      momentum: share of the trace that is kept, in [0, 1); None keeps no trace.
      nesterov: looks one step of momentum ahead.

    Raises:
      ValueError: for a momentum out of range, or nesterov without momentum.
    """

    momentum: Fraction | None = None
    nesterov: bool = False

    moments = {"trace": Moment("gradient", "momentum", "sum")}

    @property
    def Slots(self) -> Any:  # noqa: N802, the name in `Rule`
        return NoSlots if self.momentum is None else SgdSlots

    @property
    def counted(self) -> bool:  # type: ignore[override]
        return self.momentum is not None

    def check(self) -> None:
        if self.momentum is None and self.nesterov:
            raise ValueError(
                f"{caller()}(nesterov=True): give a momentum too, such as momentum=0.9."
            )

    def init(self, p: Any) -> Any:
        return NoSlots() if self.momentum is None else SgdSlots(trace=zeros_slot(p))

    def update(self, g: Array, slots: Any, p: Any, step: Step) -> Moved[Any]:
        if self.momentum is None:
            return g, slots
        trace = scaled(slots.trace, self.momentum) + g
        return g + scaled(trace, self.momentum) if self.nesterov else trace, SgdSlots(trace)


scale_by_sgd = direction_of(Sgd, "scale_by_sgd")


@constructor
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
    return descend(Sgd(momentum, nesterov), learning_rate)


RECORDS = (
    OptimizerRecord(
        constructor=sgd,
        rule=Sgd,
        family="gradient",
        formula="d = g",
        when="convolutions with a tuned schedule; no memory for slots",
        slots=0,
        learning_rate=0.1,
        quadratic_rate=0.1,
        gallery_rate=0.3,
        presets={"paper": {}, "torch": {}, "keras": {}, "optax": {}},
        variants={
            "momentum": Variant(
                {"momentum": 0.9},
                formula="trace = m trace + g, d = trace",
                when="the classic for convolutions",
                slots=1,
                learning_rate=0.03,
                gallery_rate=0.1,
            ),
            "nesterov": Variant(
                {"momentum": 0.9, "nesterov": True},
                formula="trace = m trace + g, d = g + m trace",
                when="as momentum, a little faster on smooth losses",
                slots=1,
                learning_rate=0.03,
                gallery_rate=0.1,
            ),
        },
    ),
)
