"""Blend: a weighted mixture of several optimizers' updates.

    u_i              the update of member i, and n_i its norm over the whole tree
    n = sum_i w_i n_i
    v_i = u_i n / n_i                         every member at the mixture's length; 0 where n_i is 0
    u = sum_i w_i v_i                         the weights w are at least 0, their sum is 1

Without normalising v_i = u_i, as Landro, Gallo & La Grassa, 2020, arXiv:2011.08042 mix Adam and
SGD. Members that agree make a step of length n, and members that do not a shorter one. The weights
stay as given, or learn from how the next gradient g, of another batch, judges each member:

    l_i = <g, v_i> / (|g| max |v|)            in [-1, 1], below 0 where its last step went downhill;
                                              1 where it made none, which would be but a lower rate
    "hedge"          w_i ~ w_i(0) exp(-eta sum l_i), eta = log(members) / gap: AdaHedge (de Rooij,
                     van Erven, Grunwald & Koolen, 2014, arXiv:1301.0534), where gap is 0.1 and the
                     sum of what the mixture lost against its mixability; no rate to tune
    "hypergradient"  w <- nearest point of the simplex to w - step_size l / sqrt(t): descent along
                     the loss's own slope in the weights (after Baydin et al., 2018,
                     arXiv:1703.04782), in steps that shrink, since noise judges too

Memory: every member's state; one more slot a parameter and member where the weights learn. Time:
every member's. When to use it: where one member's weakness is another's strength, and as a test of
which of them a task wants. The judgement looks one step ahead: it does not see what pays later.
Departures: both rules see the loss's linear part alone, over its largest possible value, so that
neither depends on the scale of the loss or of the rates; AdaHedge's gap starts at 0.1, not 0, where
the first rounding apart would decide; a judgement that is not finite changes nothing.
"""

import functools
from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.agreement import agreement
from adaptive_optax.core.anatomy import anatomy, described, parts
from adaptive_optax.core.arrays import norm, scaled, working_dtype
from adaptive_optax.core.checks import check_choice, check_flag, check_positive
from adaptive_optax.core.leafwise import LeafwiseState, lift
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.lift import Rule, wide_view
from adaptive_optax.core.programs import compiled
from adaptive_optax.core.treewise import norm_of_all
from adaptive_optax.core.types import Scalar, Transformation
from adaptive_optax.wrappers.members import checked_members
from adaptive_optax.wrappers.mixture import checked_weights, descent, hedge, weights_at


class BlendState(NamedTuple):
    """What a blend remembers."""

    count: Any  # updates done, int32, shape ()
    weights: dict[str, Any]  # of the last update, by member; the widest float, shape ()
    learned: Any  # what else the weights learn from; None where they do not
    steps: Any  # each member's last v, by name, float32 or wider; None where weights do not learn
    inner_states: dict[str, Any]

    @property
    def own_metrics(self) -> dict[str, Any]:
        """What `metrics` shows of it."""
        return {f"weight/{name}": weight for name, weight in self.weights.items()}

    def eval_params(self, params: Any) -> Any:
        """The parameters as they are: a member's slow weights are not the mixture's."""
        return params


def blend(
    members: Mapping[str, optax.GradientTransformation],
    weights: Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    adapt: str | None = None,
    step_size: Scalar = 0.2,
    normalize: bool = True,
) -> Transformation:
    """Several optimizers at once, each with a weight.

    Args:
      members: transformations whose updates are added to the parameters, by name.
      weights: of each member, by name or in the members' order: numbers of at least 0 or, where
        adapt is None, schedules; they are divided by their sum. None takes equal ones.
      adapt: None keeps the weights; "hedge" and "hypergradient" learn them, from these on.
      step_size: of "hypergradient", above 0: how much a member gains in the first step over one
        that is judged worse by 1, half of the scale.
      normalize: whether members get the mixture's length before they are mixed, so that their
        learning rates' proportion does not weigh them too.

    Returns:
      A transformation with the weights in its state: `state.weights`, and "weight/name" in
      `metrics(state)`. It forwards extra arguments to all members.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = blend({"small": ao.sgd(1.0), "large": ao.sgd(3.0)}, {"small": 3, "large": 1})
    >>> params = jnp.zeros(2)
    >>> updates, state = tx.update(jnp.array([1.0, -2.0]), tx.init(params), params)
    >>> updates.tolist(), float(state.weights["small"])
    ([-1.5, 3.0], 0.75)
    """
    inners = checked_members("blend", members)
    named = checked_weights("blend", list(inners), weights)
    names = sorted(inners)
    given = [named[name] for name in names]
    if adapt is not None:
        check_choice("blend", tuple(_LEARNING), adapt=adapt)
    check_flag("blend", normalize=normalize)
    check_positive("blend", step_size=step_size)
    if adapt and any(map(callable, given)):
        raise ValueError(
            f"blend(weights=a schedule, adapt={adapt!r}): weights that learn start from numbers; "
            f"give numbers, or adapt=None."
        )
    learning = _LEARNING[adapt](step_size) if adapt else None
    walk = _mixing(len(names), keeps=adapt is not None)
    slots = walk.rule.slots
    own = {
        name: all(part.library == "adaptive_optax" for part in parts(anatomy(inners[name])))
        for name in names
    }  # these compute alike for any parameters, and are told wide ones lest steps be rounded twice

    def init(params):
        start = weights_at(given, jnp.zeros((), jnp.int32))
        return BlendState(
            count=jnp.zeros((), jnp.int32),
            weights=_named(names, start),
            learned=learning.start(start) if learning else None,
            steps=_named(names, walk.init(params).slots) if learning else None,
            inner_states={name: inners[name].init(params) for name in names},
        )

    def judged(rule, grads, state):
        """Weights and what they learn from, after the gradient has judged the last steps."""
        found = [agreement(grads, state.steps[name]) for name in names]
        longest = jnp.max(jnp.stack([each.direction for each in found]))
        unit = jnp.where(longest > 0, longest, 1.0)
        losses = jnp.stack(
            [jnp.where(x.direction > 0, x.cosine * (x.direction / unit), 1.0) for x in found]
        )
        losses = jnp.where(longest > 0, losses, 0.0)
        before = jnp.stack([state.weights[name] for name in names]), state.learned
        after = rule.learn(*before, losses)
        known = jnp.all(jnp.isfinite(losses))
        return jax.tree.map(lambda new, old: jnp.where(known, new, old), after, before)

    def update(grads, state, params=None, **extra_args):
        updates, inner_states = [], {}
        for name in names:
            seen = _widened(params) if own[name] else params
            u, inner = inners[name].update(grads, state.inner_states[name], seen, **extra_args)
            updates.append(u)
            inner_states[name] = inner
        now, learned = (
            judged(learning, grads, state) if learning else (weights_at(given, state.count), None)
        )
        factors = _factors(updates, now) if normalize else jnp.ones_like(now)
        before = LeafwiseState(None, slots(*(state.steps[name] for name in names if learning)))
        mixed, walked = walk.update(
            updates[0], before, params, others=updates[1:], weights=now, factors=factors
        )
        return mixed, BlendState(
            count=optax.safe_increment(state.count),
            weights=_named(names, now),
            learned=learned,
            steps=_named(names, walked.slots) if learning else None,
            inner_states=inner_states,
        )

    return described(
        optax.GradientTransformationExtraArgs(init, update),
        "blend",
        options={"adapt": adapt, "normalize": normalize, "weights": None if adapt else named},
        members={name: inners[name] for name in names},
        shares=lambda before: before.weights,
    )


_LEARNING = {"hedge": lambda step_size: hedge(), "hypergradient": descent}


def _mixing(members: int, keeps: bool) -> Any:
    """The mixture of as many updates, of which it keeps each one's v where that is wanted."""
    slots = _slots(members if keeps else 0)

    def start(p):
        return slots(*(jnp.zeros_like(p) for _ in slots._fields))

    def blend(u, before, p, at, weights, factors, *others):
        parts = [scaled(each, factors[i]) for i, each in enumerate((u, *others))]
        first, *rest = parts
        # Differences of equal parts are 0 even where the products in them would be fused.
        away = [jnp.where(part == first, jnp.zeros_like(part), part - first) for part in rest]
        whole = sum((scaled(x, weights[i]) for i, x in enumerate(away, 1)), jnp.zeros_like(first))
        mixed = jnp.where(whole == 0, first, first + whole)
        return mixed, slots(*parts) if keeps else before

    def given(call):
        others = [call.treedef.flatten_up_to(each) for each in call.extra_args["others"]]
        shared = call.extra_args["weights"], call.extra_args["factors"]
        rows = zip(*others, strict=True) if others else [()] * call.treedef.num_leaves
        return [(*shared, *row) for row in rows]

    return lift(Rule("blend", slots, start, blend, extras=given))


@functools.cache
def _slots(size: int) -> Any:
    """The class of that many slots; one for all blends of a size, which then share programs."""
    return namedtuple("BlendSlots", [f"step_{i}" for i in range(size)])


def _factors(updates: Sequence[Any], weights: jax.Array) -> jax.Array:
    """What each update is multiplied by, to be as long as they are on the weighted mean."""
    lengths = jnp.stack(
        [norm_of_all([_length(u) for u in flat(each)[0] if is_trained(u)]) for each in updates]
    )
    first = lengths[0]  # equal lengths have this mean exactly
    mean = first + jnp.sum(jnp.where(lengths == first, 0.0, weights * (lengths - first)))
    still = lengths < jnp.finfo(lengths.dtype).tiny
    return jnp.where(still, 0.0, mean / jnp.where(still, 1.0, lengths))


_length = compiled(lambda u: norm(u.astype(working_dtype(u.dtype))))


def _widened(params: Any) -> Any:
    """The parameters in the dtype to compute in."""
    leaves, treedef = flat(params)
    return jax.tree.unflatten(treedef, [wide_view(p) if is_trained(p) else p for p in leaves])


def _named(names: Sequence[str], values: Any) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))
