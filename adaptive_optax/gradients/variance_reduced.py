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

STORM takes one slot a parameter besides the inner state, MARS none; both take a second gradient a
step, and the last parameters. When to use it: where the noise of batches limits the rate, and a
second gradient is cheaper than a batch twice as large; MARS over Adam or Lion, for language models.
Departures: STORM's a is a number or a schedule here; in the paper it follows from its own adaptive
rate, which is the inner optimizer's affair. Its d is computed as a g + (1 - a) (d + (g - before)),
the same but for rounding, since g and before are close. MARS's paper writes all parameters as one
vector; each leaf is one here, as in the authors' program and in `ao.mars`, which is the approximate
form, without a second gradient.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.anatomy import described
from adaptive_optax.core.arrays import bounded, corrected, scaled, zeros_slot
from adaptive_optax.core.checks import (
    check_choice,
    check_fraction,
    check_non_negative,
    check_positive,
    check_transformation,
)
from adaptive_optax.core.descend import value_at
from adaptive_optax.core.feedback import check_range
from adaptive_optax.core.leafwise import LeafwiseState, lift
from adaptive_optax.core.lift import Rule
from adaptive_optax.core.types import Scalar, Schedule, Transformation
from adaptive_optax.gradients.handed_on import handed_on, opened
from adaptive_optax.gradients.previous_grads import previous_of


class EstimateSlots(NamedTuple):
    """What a leaf remembers."""

    estimate: Any  # d of STORM; None for MARS


class VarianceReducedState(NamedTuple):
    """What the wrapper remembers."""

    count: Any  # updates done, int32, shape ()
    estimate: Any  # d of STORM, float32 or wider, a tree shaped like the parameters
    inner_state: Any


def variance_reduced(
    inner: optax.GradientTransformation,
    mode: str = "storm",
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
    check_transformation("variance_reduced", inner=inner)
    check_choice("variance_reduced", ("storm", "mars"), mode=mode)
    if not callable(a):
        check_positive("variance_reduced", a=a)
        check_range("variance_reduced", "lie in (0, 1]", lambda x: x <= 1, a=a)
    check_non_negative("variance_reduced", gamma=gamma)
    check_fraction("variance_reduced", b1=b1)
    wrapped = optax.with_extra_args_support(inner)

    def first(count):
        return count == 1

    def share(count):
        return count == 1, value_at(a, count - 1)

    def storm(g, slots, p, at, before):
        starts, new = at
        most = float(jnp.finfo(g.dtype).max) / 4
        g, before = _same_at_first(g, before, starts, most / 2)
        new = jnp.where(starts, 1.0, jnp.asarray(new, jnp.finfo(g.dtype).dtype))
        kept = scaled(slots.estimate + (g - before), 1 - new)
        d = bounded(scaled(g, new) + kept, most)
        return d, EstimateSlots(d)

    def mars(g, slots, p, starts, before):
        strength = gamma * b1 / (1 - b1)
        most = float(jnp.finfo(g.dtype).max) / (4.0 + 8.0 * strength) / max(g.size, 1) ** 0.5
        g, before = _same_at_first(g, before, starts, most)
        return corrected(g, before, strength), slots

    def given(call):
        return [(before,) for before in call.treedef.flatten_up_to(call.extra_args["before"])]

    reduce = lift(
        Rule("variance_reduced", EstimateSlots, _start_of_storm, storm, share, extras=given)
        if mode == "storm"
        else Rule("variance_reduced", EstimateSlots, _start_of_mars, mars, first, extras=given)
    )

    def init(params):
        found = reduce.init(params)
        return VarianceReducedState(found.count, found.slots.estimate, wrapped.init(params))

    def update(grads, state, params=None, **extra_args):
        before = previous_of("variance_reduced", grads, extra_args.get("previous_grads"))
        own = LeafwiseState(state.count, EstimateSlots(state.estimate))
        wide = opened("variance_reduced", grads, params)
        found, after = reduce.update(wide, own, before=before)
        inner_state = state.inner_state
        updates, inner_state = handed_on(wrapped, grads, found, inner_state, params, extra_args)
        return updates, VarianceReducedState(after.count, after.slots.estimate, inner_state)

    return described(
        optax.GradientTransformationExtraArgs(init, update),
        "variance_reduced",
        options={"mode": mode, **({"a": a} if mode == "storm" else {"gamma": gamma, "b1": b1})},
        members={"inner": inner},
    )


def _start_of_storm(p: jax.Array) -> EstimateSlots:
    return EstimateSlots(zeros_slot(p))


def _start_of_mars(p: jax.Array) -> EstimateSlots:
    return EstimateSlots(None)


def _same_at_first(
    g: jax.Array, before: jax.Array, starts: jax.Array, most: Scalar
) -> tuple[jax.Array, jax.Array]:
    """Both gradients, at the first step twice the one; bounded, so that no sum overflows."""
    g, before = (bounded(x.astype(g.dtype), most) for x in (g, before))
    return g, jnp.where(starts, g, before)
