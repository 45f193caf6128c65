"""Switch: one optimizer after another, on one set of parameters.

    u = the update of the active member
    after each update a criterion says which member makes the next one

The state of a member begins when it takes over: from its own `init` on the parameters of that
moment, so that what it remembers of them (an anchor, an average) is no jump back, with the moments
of the member before it where both mean the same by them (`handover.py`). Only the active member
costs time; all members' states take memory. When to use it: for an adaptive optimizer's fast start
and another one's end (Keskar & Socher, 2017, arXiv:1712.07628). The criteria:

    at=[steps]       the k-th member until step at[k], counted from 0
    when="plateau"   the next member once `value` has not fallen, beyond its noise, for `patience`
                     windows of steps and one more
    when="swats"     from the first of two members to the second, at the rate that the first one's
                     steps tell (`swats.py`)
    when="bandit"    tries all members now and then and goes on with the best (`bandit.py`)

A member's schedule counts the member's own steps from when it took over.
Departures: those of `swats.py` and `bandit.py`.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.anatomy import anatomy, described
from adaptive_optax.core.branches import as_before, taken
from adaptive_optax.core.checks import check_choice, check_params, check_positive, check_steps
from adaptive_optax.core.leaves import flat, is_trained, matching, unmoved
from adaptive_optax.core.rate import with_rates_of
from adaptive_optax.core.types import Scalar, Transformation
from adaptive_optax.wrappers.bandit import bandit
from adaptive_optax.wrappers.criteria import Criterion, Seen, at_steps, plateau
from adaptive_optax.wrappers.evaluation import eval_params
from adaptive_optax.wrappers.handover import handed_over
from adaptive_optax.wrappers.members import checked_members
from adaptive_optax.wrappers.rescaled import rescaled
from adaptive_optax.wrappers.swats import swats


class SwitchState(NamedTuple):
    """What a switch remembers."""

    count: Any  # updates done, int32, shape ()
    active: dict[str, Any]  # whether the next update is the member's, by name; bool, shape ()
    last: dict[str, Any]  # whether the last one was; the first member's before the first
    memory: Any  # of the criterion
    inner_states: dict[str, Any]  # an active member's begins with its first update

    @property
    def own_metrics(self) -> dict[str, Any]:
        """What `metrics` shows of it."""
        return {f"active/{name}": active for name, active in self.active.items()}

    def eval_params(self, params: Any) -> Any:
        """The parameters to evaluate by the active member; params before it has begun."""
        names = list(self.active)
        begun = [self.active[name] & self.last[name] for name in names]
        number = jnp.argmax(jnp.stack([~sum(begun[1:], begun[0]), *begun]))
        each = [functools.partial(eval_params, self.inner_states[name], params) for name in names]
        return taken(number, [lambda: params, *each])


def switch(
    members: Mapping[str, optax.GradientTransformation],
    at: Sequence[int] | None = None,
    *,
    when: str | None = None,
    window: int = 50,
    patience: int = 2,
    tolerance: Scalar = 0.1,
) -> Transformation:
    """One optimizer after another, by the step or by how training goes.

    Args:
      members: transformations whose updates are added to the parameters, by name, in their order.
      at: for each member after the first the number of updates before its first one, rising and at
        least 1.
      when: "plateau", "swats" or "bandit", in place of at. "plateau" and "bandit" need `value=`,
        the loss, at update; "swats" takes two members, the second with a known learning rate.
      window: steps, at least 4; of the loss's slope for "plateau" and "bandit", and for "swats" how
        long its two averages have to agree.
      patience: of "plateau": windows without a fall that are borne, at least 0.
      tolerance: of "swats": how far its averages may differ, as a share, above 0.

    Returns:
      A transformation that needs params at update. `state.active` tells which member is next, and
      "active/name" in `metrics(state)`. It forwards extra arguments to the active member.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range, or members that do not suit
        it; at update, where `value` is needed and missing.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = switch({"large": ao.sgd(1.0), "small": ao.sgd(0.25)}, at=[2])
    >>> params = jnp.zeros(1)
    >>> state, steps = tx.init(params), []
    >>> for _ in range(3):
    ...     updates, state = tx.update(jnp.array([-1.0]), state, params)
    ...     steps.append(float(updates[0]))
    >>> steps, bool(state.active["small"])
    ([1.0, 1.0, 0.25], True)
    """
    inners = checked_members("switch", members)
    check_steps("switch", window=window)
    if window < 4:
        raise ValueError(f"switch(window={window}): window must be at least 4.")
    if isinstance(patience, bool) or not isinstance(patience, int) or patience < 0:
        raise ValueError(f"switch(patience={patience!r}): patience must be an integer from 0 on.")
    check_positive("switch", tolerance=tolerance)
    if (at is None) == (when is None) and len(inners) > 1:
        raise ValueError(
            f"switch(at={at!r}, when={when!r}): give either at, a list of steps, or when: "
            f"'plateau', 'swats' or 'bandit'."
        )
    if when is not None:
        check_choice("switch", ("plateau", "swats", "bandit"), when=when)
    names = list(inners)
    criterion = _criterion(inners, at, when, window, patience, tolerance)
    if when == "swats" and len(names) > 1:
        inners[names[1]] = rescaled(inners[names[1]])
    anatomies = {name: anatomy(inners[name]) for name in names}

    def flags(number):
        return {name: jnp.asarray(number == k) for k, name in enumerate(names)}

    def init(params):
        states = {name: inners[name].init(params) for name in names}
        first = jnp.zeros((), jnp.int32)
        return SwitchState(first, flags(first), flags(first), criterion.start(), states)

    def beginning(name, before, givers, states, state, params):
        """The state of a member that takes over from one of the givers, whose states these are."""

        def handing(giver):
            fresh = inners[name].init(params)
            given = handed_over(anatomies[giver], states[giver], anatomies[name], fresh)
            return jax.tree.map(as_before, before, with_rates_of(before, given))

        number = jnp.argmax(jnp.stack([state.last[giver] for giver in givers]))
        begun = taken(number, [functools.partial(handing, giver) for giver in givers])
        return criterion.begin(state.memory, begun, params) if criterion.begin else begun

    def stepping(k, first, still, grads, state, params, extra_args):
        """A branch: the step of the k-th member, its first one after another member's or not."""
        name, treedef = names[k], flat(grads)[1]
        givers = names[max(k - 1, 0) : k] if criterion.onward else [*names[:k], *names[k + 1 :]]

        def step(states):
            before = states[name]
            if first:
                before = beginning(name, before, givers, states, state, params)
            updates, after = inners[name].update(grads, before, params, **extra_args)
            moves = map(as_before, still, matching(treedef, updates))
            after = jax.tree.map(as_before, states[name], after)
            return [u for u in moves if is_trained(u)], {**states, name: after}

        return step

    def update(grads, state, params=None, **extra_args):
        leaves, treedef = flat(grads)
        weights = [None] * len(leaves) if params is None else flat(params)[0]
        still = [unmoved(g, p) for g, p in zip(leaves, weights, strict=True)]
        moves = [zero for zero in still if is_trained(zero)]
        if len(names) > 1 and moves:
            check_params("switch", "the state of the member that takes over", params)
        number = jnp.argmax(jnp.stack([state.active[name] for name in names])).astype(jnp.int32)
        last = jnp.argmax(jnp.stack([state.last[name] for name in names]))
        given = (still, grads, state, params, extra_args)
        branches = [stepping(k, False, *given) for k in range(len(names))]
        if len(names) > 1:
            branches += [stepping(k, True, *given) for k in range(criterion.onward, len(names))]
        begins = len(names) + number - int(criterion.onward)
        index = jnp.where(number == last, number, begins)
        moves, states = taken(index, branches, state.inner_states)
        moving = iter(moves)
        moved = [next(moving) if is_trained(z) else z for z in still]
        updates = jax.tree.unflatten(treedef, moved)
        count = optax.safe_increment(state.count)
        if len(names) == 1 or not moves:
            return updates, state._replace(count=count, inner_states=states)
        seen = Seen(count, number, grads, updates, extra_args)
        following, memory = criterion.decide(state.memory, seen)
        return updates, SwitchState(count, flags(following), flags(number), memory, states)

    return described(
        optax.GradientTransformationExtraArgs(init, update),
        "switch",
        options={"at": at and str(at), "when": when, "window": window},
        members=inners,
        shares=lambda before: before.active,
    )


def _criterion(
    inners: Mapping[str, Transformation],
    at: Sequence[int] | None,
    when: str | None,
    window: int,
    patience: int,
    tolerance: Scalar,
) -> Criterion:
    """The rule of switching that the options name."""
    members = len(inners)
    if members == 1 or at is not None:
        return at_steps(members, [] if at is None else at)
    if when == "plateau":
        return plateau(members, window, patience)
    if when == "bandit":
        return bandit(members, window)
    return swats(list(inners.values()), window, tolerance)
