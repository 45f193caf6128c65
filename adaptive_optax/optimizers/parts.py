"""Parts of optimizers as transformations of their own, to be chained."""

from typing import Any, NamedTuple

from adaptive_optax.core import arrays
from adaptive_optax.core.descend import direction_of
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.rule import Moved, NoSlots, Rule, Step
from adaptive_optax.core.types import Array, Fraction


class EmaSlots(NamedTuple):
    """What an average remembers."""

    mu: Signed  # the average


class Ema(Rule):
    """The exponential moving average of the gradients, mu <- decay mu + (1 - decay) g, from 0.

    Args:
      decay: in [0, 1).

    Raises:
      ValueError: for a decay out of range.

    >>> import jax.numpy as jnp
    >>> tx = ema(0.75)
    >>> state = tx.init(jnp.array(0.0))
    >>> updates, state = tx.update(jnp.array(4.0), state)
    >>> float(updates)
    1.0
    """

    decay: Fraction

    Slots = EmaSlots

    def init(self, p: Any) -> EmaSlots:
        return EmaSlots(mu=arrays.zeros_slot(p))

    def update(self, g: Array, slots: EmaSlots, p: Any, step: Step) -> Moved[EmaSlots]:
        mu = arrays.ema(slots.mu, g, self.decay)
        return mu, EmaSlots(mu)


class BiasCorrection(Rule):
    """Divides by 1 - decay^t, so that an average from 0 becomes the mean of what it saw.

    Args:
      decay: of the average before it in the chain, in [0, 1).

    Raises:
      ValueError: for a decay out of range.

    >>> import jax.numpy as jnp, optax
    >>> tx = optax.chain(ema(0.75), bias_correction(0.75))
    >>> updates, _ = tx.update(jnp.array(4.0), tx.init(jnp.array(0.0)))
    >>> round(float(updates), 5)
    4.0
    """

    decay: Fraction

    def per_step(self, step: Step) -> Array:
        return arrays.bias(self.decay, step.count)

    def update(self, g: Array, slots: NoSlots, p: Any, step: Step) -> Moved[NoSlots]:
        return arrays.debias(g, step.shared), slots


ema = direction_of(Ema, "ema")
bias_correction = direction_of(BiasCorrection, "bias_correction")
