"""NovoGrad: momentum of gradients over their norm by layer (Ginsburg et al., 2019, 1905.11286).

    nu <- b2 nu + (1 - b2) |g|^2                     |g| the norm of the leaf; first nu = |g|^2
    mu <- b1 mu + g / (sqrt(nu) + eps) + weight_decay p
    d = mu

One slot per parameter and one number per leaf. When to use it: speech and vision models in large
batches, where Adam's second slot does not fit; start at Adam's learning rate times ten, with a
warm-up of a cosine. arXiv:1905.11286. Departures: none. The decay enters the momentum, as in the
paper, so `mask` and a schedule of it are options of the direction.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import divided, ema, norm, root, scaled, shifted, zeros_slot
from adaptive_optax.core.lifting import COUPLED, lift
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class NovogradSlots(NamedTuple):
    """What NovoGrad remembers."""

    mu: Signed  # undamped sum of normalized gradients
    nu: Any  # average of |g|^2 over the leaf, shape ()


class Novograd(Rule):
    """NovoGrad's direction, with its weight decay.

    Args:
      b1: share of the momentum that is kept, in [0, 1).
      b2: decay of the second moment of the leaf, in [0, 1).
      eps: keeps the denominator off zero, at least 0.

    Raises:
      ValueError: for an option out of range.
    """

    b1: Fraction = 0.95
    b2: Fraction = 0.98
    eps: AtLeastZero = 1e-8

    Slots = NovogradSlots
    elementwise = False
    scale_invariant = True
    takes_decay = True

    def init(self, p: Any) -> NovogradSlots:
        return NovogradSlots(mu=zeros_slot(p), nu=jnp.zeros((), jnp.finfo(p.dtype).dtype))

    def per_step(self, step: Step) -> Any:
        return step.count == 1

    def update(self, g: Array, slots: NovogradSlots, p: Any, step: Step) -> Moved[NovogradSlots]:
        square = jnp.square(jnp.minimum(norm(g), jnp.finfo(slots.nu.dtype).max ** 0.5 / 2))
        nu = jnp.where(step.shared, square, ema(slots.nu, square, self.b2))
        u = divided(g, shifted(root(nu), self.eps))
        u = u if step.decay is None else u + scaled(p, step.decay)
        mu = scaled(slots.mu, self.b1) + u
        return mu, NovogradSlots(mu, nu)


@constructor
def scale_by_novograd(
    b1: Scalar = 0.95,
    b2: Scalar = 0.98,
    eps: Scalar = 1e-8,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """NovoGrad's direction, which holds its weight decay.

    Args:
      b1: share of the momentum that is kept, in [0, 1).
      b2: decay of the second moment of the leaf, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      weight_decay: weight of p in the momentum, at least 0; a number, an array or a schedule.
      mask: which leaves decay, as in `descend`.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.
    """
    return lift(Novograd(b1, b2, eps), weight_decay=weight_decay, mask=mask).transformation()


@constructor
def novograd(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.95,
    b2: Scalar = 0.98,
    eps: Scalar = 1e-8,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """NovoGrad, the direction of `scale_by_novograd`.

    Args:
      learning_rate: at least 0; a float, an array or a schedule.
      b1: share of the momentum that is kept, in [0, 1).
      b2: decay of the second moment of the leaf, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      weight_decay: weight of p in the momentum, at least 0; a number, an array or a schedule.
      mask: which leaves decay, as in `descend`.

    >>> import jax.numpy as jnp
    >>> tx = novograd(0.5)
    >>> params = jnp.zeros(2)
    >>> updates, _ = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)
    >>> [round(float(u), 4) for u in updates]
    [-0.3, -0.4]
    """
    options: dict[str, Any] = {"weight_decay": weight_decay, "mask": mask, "descent": COUPLED}
    return lift(Novograd(b1, b2, eps), learning_rate=learning_rate, **options).transformation()


RECORDS = (
    OptimizerRecord(
        constructor=novograd,
        rule=Novograd,
        family="layer",
        formula="mu = b1 mu + g / (√nu + eps) + weight_decay p, nu of |g|² by leaf",
        when="speech and vision models in large batches; one slot",
        slots=1,
        memory="1, and a number per leaf",
        state_leaves=6,
        learning_rate=1e-2,
        quadratic_rate=0.01,
        gallery_rate=0.03,
        presets={"paper": {}, "optax": {"b1": 0.9, "b2": 0.25}},
        variants={"novograd-decay": Variant({"weight_decay": 0.1})},
    ),
)
