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
    memory: Any  # of the criterion
    inner_states: dict[str, Any]

    @property
    def own_metrics(self) -> dict[str, Any]:
        """What `metrics` shows of it."""
        return {f"active/{name}": active for name, active in self.active.items()}

    def eval_params(self, params: Any) -> Any:
        """The parameters to evaluate by the active member."""
        names = list(self.active)
        number = jnp.argmax(jnp.stack([self.active[name] for name in names]))
        each = [functools.partial(eval_params, self.inner_states[name], params) for name in names]
        return taken(number, each)


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
    check_steps("switch", **{"patience + 1": patience + 1})
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
        return SwitchState(
            jnp.zeros((), jnp.int32), flags(jnp.zeros((), jnp.int32)), criterion.start(), states
        )

    def stepping(k, still, grads, state, params, extra_args):
        """The step of the k-th member, as a branch; `still` are updates that move nothing."""
        name = names[k]

        def branch():
            before = state.inner_states[name]
            updates, after = inners[name].update(grads, before, params, **extra_args)
            moves = map(as_before, still, matching(flat(grads)[1], updates))
            states = {**state.inner_states, name: jax.tree.map(as_before, before, after)}
            return [u for u in moves if is_trained(u)], states

        return branch

    def beginning(k, active, memory, states, params):
        """The states once the k-th member takes over, as a branch."""
        name = names[k]

        def handing(giver):
            def branch():
                fresh = inners[name].init(params)
                given = handed_over(anatomies[giver], states[giver], anatomies[name], fresh)
                given = with_rates_of(states[name], given)
                return jax.tree.map(as_before, states[name], given)

            return branch

        def branch():
            givers = [names[k - 1]] if criterion.onward else names
            new = taken(jnp.where(len(givers) > 1, active, 0), [handing(x) for x in givers])
            if criterion.begin is not None:
                new = criterion.begin(memory, new, params)
            return {**states, name: new}

        return branch

    def update(grads, state, params=None, **extra_args):
        active = jnp.argmax(jnp.stack([state.active[name] for name in names])).astype(jnp.int32)
        leaves, treedef = flat(grads)
        weights = [None] * len(leaves) if params is None else flat(params)[0]
        still = [unmoved(g, p) for g, p in zip(leaves, weights, strict=True)]
        steps = [stepping(k, still, grads, state, params, extra_args) for k in range(len(names))]
        moves, states = taken(active, steps)
        moving = iter(moves)
        updates = [next(moving) if is_trained(zero) else zero for zero in still]
        updates = jax.tree.unflatten(treedef, updates)
        count = optax.safe_increment(state.count)
        if len(names) == 1 or not moves:
            return updates, SwitchState(count, state.active, state.memory, states)
        check_params("switch", "the state of the member that takes over", params)
        seen = Seen(count, active, grads, updates, extra_args)
        following, memory = criterion.decide(state.memory, seen)
        moved = optax.apply_updates(params, updates)
        first = 1 if criterion.onward else 0  # of those that can take over
        begins = [beginning(k, active, memory, states, moved) for k in range(first, len(names))]
        number = jnp.where(following == active, 0, following + 1 - first)
        states = taken(number, [lambda: states, *begins])
        return updates, SwitchState(count, flags(following), memory, states)

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
