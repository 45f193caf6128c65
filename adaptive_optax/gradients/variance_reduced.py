"""Variance reduction: the batch's noise is taken out by its gradient at the last parameters.

STORM (Cutkosky & Orabona, 2019, arXiv:1905.10018):
    d <- g + (1 - a) (d - before)
MARS (Yuan, Liu, Wu, Zhou & Gu, 2024, arXiv:2411.10438):
    c = g + gamma b1 / (1 - b1) (g - before)
    c <- c / max(1, |c|)                        the norm of the leaf

g is the gradient of this step's batch at the parameters, and before that of the same batch at the
parameters of the last step; d or c is what the inner optimizer gets. The noise that the two share
cancels in g - before, so that STORM's d averages the noise of about 2 / a batches without lagging
behind, as an average of gradients does. MARS corrects each gradient alone, and leaves the average
to the momentum of the inner optimizer.

STORM takes one slot a parameter besides the inner state, MARS none; both take a second gradient per
step, and the last parameters. When to use it: where the noise of batches limits the rate, and a
second gradient is cheaper than a batch twice as large; MARS over Adam or Lion, for language models.
Departures: STORM's a is a number or a schedule here; in the paper it follows from its own adaptive
rate, which is the inner optimizer's affair. Its d is computed as a g + (1 - a) (d + (g - before)),
the same but for rounding, since g and before are close. MARS's paper writes all parameters as one
vector; each leaf is one here, as in the authors' program and in `ao.mars`, which is the approximate
form, without a second gradient.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import bounded, corrected, scaled
from adaptive_optax.core.checks import (
    check_positive,
    check_range,
    check_transformation,
)
from adaptive_optax.core.lifting import value_at
from adaptive_optax.core.map_leaves import first_leaves, map_leaves
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import AtLeastZero, Fraction, Scalar, Schedule
from adaptive_optax.gradients.passing import pass_to_inner, unpack
from adaptive_optax.gradients.previous_grads import previous_of


class VarianceReducedState(NamedTuple):
    """What the wrapper remembers."""

    count: Any  # updates done, int32, shape ()
    estimate: Any  # d of STORM, float32 or wider, a tree shaped like the parameters
    inner_state: Any


@constructor
def variance_reduced(
    inner: optax.GradientTransformation,
    mode: Literal["storm", "mars"] = "storm",
    *,
    a: Scalar | Schedule = 0.1,
    gamma: Scalar = 0.025,
    b1: Scalar = 0.95,
) -> Transformation:
    """Any optimizer, on gradients without the noise that they share with the last step's.

    Each update needs `previous_grads`, the gradient of its own batch at the parameters of the step
    before; so the caller keeps these:

        def step(params, previous, state, batch):
            grads = jax.grad(loss)(params, batch)
            previous_grads = jax.grad(loss)(previous, batch)
            updates, state = tx.update(grads, state, params, previous_grads=previous_grads)
            return optax.apply_updates(params, updates), params, state

    with previous = params at first: the first update takes no notice of previous_grads. Both
    gradients see the same examples, dropout and augmentation. What changes gradients before this
    wrapper in a chain, such as a clip, does not change previous_grads: put it first. Around
    `multi_steps`, not inside it, which hands on the last micro-batch's previous_grads alone.

    Args:
      inner: a transformation of gradients.
      mode: "storm" or "mars".
      a: share of the new gradient in STORM's d, in (0, 1]; a number, an array or a schedule, which
        gets the number of updates done. At 1, d is the gradient.
      gamma: strength of MARS's correction, at least 0; 0 leaves its clip alone.
      b1: of MARS, in [0, 1): the decay of the inner optimizer's momentum.

    Returns:
      A transformation that forwards extra arguments, `previous_grads` as well.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where
        previous_grads are missing or not shaped like the gradients.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = variance_reduced(ao.sgd(1.0), a=0.25)
    >>> params = jnp.array(0.0)
    >>> state, steps = tx.init(params), []
    >>> for g, before in ((4.0, 0.0), (9.0, 8.0)):
    ...     updates, state = tx.update(
    ...         jnp.array(g), state, params, previous_grads=jnp.array(before)
    ...     )
    ...     steps.append(float(updates))
    >>> steps
    [-4.0, -6.0]
    """
    check_transformation(inner=inner)
    wrapped = optax.with_extra_args_support(inner)
    return VarianceReduced(wrapped, mode, a, gamma, b1).transformation()


class VarianceReduced(Body):
    """An optimizer on gradients without the noise that they share with the last step's."""

    inner: optax.GradientTransformationExtraArgs
    mode: Literal["storm", "mars"]
    a: Scalar | Schedule
    gamma: AtLeastZero
    b1: Fraction

    def check(self) -> None:
        if not callable(self.a):
            check_positive(a=self.a)
            check_range("lie in (0, 1]", lambda x: x <= 1, a=self.a)

    def init(self, params: Any) -> VarianceReducedState:
        storm = self.mode == "storm"
        nothing = jax.tree.map(lambda p: None, params)
        estimate = first_leaves(jnp.zeros_like, params) if storm else nothing
        return VarianceReducedState(jnp.zeros((), jnp.int32), estimate, self.inner.init(params))

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, VarianceReducedState]:
        before = previous_of(self.name, grads, extra_args.get("previous_grads"))
        wide = unpack(self.name, grads, params)
        count = optax.safe_increment(state.count)
        starts, estimate = count == 1, state.estimate
        if self.mode == "storm":
            shared = (starts, value_at(self.a, state.count))
            found, estimate = map_leaves(
                self.name, _storm, wide, None, estimate, before, shared=shared, keeps=1
            )
        else:
            shared = (starts, self.gamma * self.b1 / (1 - self.b1))
            found = map_leaves(self.name, _mars, wide, None, before, shared=shared)
        updates, inner_state = pass_to_inner(
            self.inner, grads, found, state.inner_state, params, extra_args
        )
        return updates, VarianceReducedState(count, estimate, inner_state)


def _storm(
    g: jax.Array, p: Any, estimate: jax.Array, before: Any, starts: jax.Array, share: Any
) -> tuple[jax.Array, jax.Array]:
    """STORM's d, twice: for the inner optimizer, and to remember."""
    most = float(jnp.finfo(g.dtype).max) / 4
    g, before = _same_at_first(g, before, starts, most / 2)
    share = jnp.where(starts, 1.0, jnp.asarray(share, jnp.finfo(g.dtype).dtype))
    kept = scaled(estimate + (g - before), 1 - share)
    d = bounded(scaled(g, share) + kept, most)
    return d, d


def _mars(g: jax.Array, p: Any, before: Any, starts: jax.Array, strength: Scalar) -> jax.Array:
    """MARS's c."""
    most = jnp.finfo(g.dtype).max / (4.0 + 8.0 * strength) / max(g.size, 1) ** 0.5
    g, before = _same_at_first(g, before, starts, most)
    return corrected(g, before, strength)


def _same_at_first(
    g: jax.Array, before: jax.Array, starts: jax.Array, most: Scalar
) -> tuple[jax.Array, jax.Array]:
    """(gradient, previous gradient), bounded; at the first step both are the gradient."""
    g, before = (bounded(x.astype(g.dtype), most) for x in (g, before))
    return g, jnp.where(starts, g, before)
