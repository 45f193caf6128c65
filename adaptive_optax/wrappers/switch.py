"""Switch: one optimizer after another, on one set of parameters.

    u = the update of the active member
    after each update a criterion says which member makes the next one

The state of a member begins when it takes over: from its own `init` on the parameters of that
moment, so that what it remembers of them (an anchor, an average) is no jump back, with the moments
of the member before it where both mean the same by them (`moment_transfer`). Only the active member
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

from adaptive_optax.core.branches import as_before, taken
from adaptive_optax.core.checks import (
    caller,
    check_choice,
    check_params,
    check_positive,
    check_steps,
)
from adaptive_optax.core.leaves import flat, is_trained, matching, unmoved
from adaptive_optax.core.rate import with_rates_of
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import Scalar
from adaptive_optax.introspection.moment_transfer import handed_over
from adaptive_optax.introspection.structure import structure
from adaptive_optax.wrappers.bandit import Bandit
from adaptive_optax.wrappers.evaluation import eval_params
from adaptive_optax.wrappers.members import checked_members
from adaptive_optax.wrappers.rescaled import Rescaled
from adaptive_optax.wrappers.swats import Swats
from adaptive_optax.wrappers.switch_criteria import AtSteps, Criterion, Plateau, Seen


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


@constructor
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
    inners = checked_members(members)
    check_steps(window=window)
    if window < 4:
        raise ValueError(f"{caller()}(window={window}): window must be at least 4.")
    if isinstance(patience, bool) or not isinstance(patience, int) or patience < 0:
        raise ValueError(
            f"{caller()}(patience={patience!r}): patience must be an integer from 0 on."
        )
    check_positive(tolerance=tolerance)
    if (at is None) == (when is None) and len(inners) > 1:
        raise ValueError(
            f"{caller()}(at={at!r}, when={when!r}): give either at, a list of steps, or when: "
            f"'plateau', 'swats' or 'bandit'."
        )
    if when is not None:
        check_choice(("plateau", "swats", "bandit"), when=when)
    count = len(inners)
    criterion: Criterion
    if count == 1 or at is not None:
        criterion = AtSteps(count, [] if at is None else at)
    elif when == "plateau":
        criterion = Plateau(count, window, patience)
    elif when == "bandit":
        criterion = Bandit(count, window)
    else:
        criterion = Swats(tuple(inners.values()), window, tolerance)
        second = list(inners)[1]
        inners[second] = Rescaled(inners[second]).transformation()
    return Switch(inners, criterion).transformation()


class Switch(Body):
    """One optimizer after another, in the order of the members."""

    inners: dict[str, optax.GradientTransformationExtraArgs]
    criterion: Criterion

    @property
    def members(self) -> Mapping[str, optax.GradientTransformation]:
        return self.inners

    @functools.cached_property
    def names(self) -> list[str]:
        """The members' names."""
        return list(self.inners)

    @functools.cached_property
    def structures(self) -> dict[str, Any]:
        """What each member is made of."""
        return {name: structure(inner) for name, inner in self.inners.items()}

    def shares(self, before: Any) -> Any:
        return before.active

    def init(self, params: Any) -> SwitchState:
        states = {name: inner.init(params) for name, inner in self.inners.items()}
        first = jnp.zeros((), jnp.int32)
        flags = self._flags(first), self._flags(first)
        return SwitchState(first, *flags, self.criterion.start(), states)

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, SwitchState]:
        names, onward = self.names, self.criterion.onward
        leaves, treedef = flat(grads)
        weights = [None] * len(leaves) if params is None else flat(params)[0]
        still = [unmoved(g, p) for g, p in zip(leaves, weights, strict=True)]
        moves = [zero for zero in still if is_trained(zero)]
        if len(names) > 1 and moves:
            check_params(self.name, "the state of the member that takes over", params)
        number = jnp.argmax(jnp.stack([state.active[name] for name in names])).astype(jnp.int32)
        last = jnp.argmax(jnp.stack([state.last[name] for name in names]))
        given = (still, grads, state, params, extra_args)
        branches = [functools.partial(self._step, k, False, *given) for k in range(len(names))]
        if len(names) > 1:
            following = range(onward, len(names))
            branches += [functools.partial(self._step, k, True, *given) for k in following]
        begins = len(names) + number - int(onward)
        index = jnp.where(number == last, number, begins)
        moves, states = taken(index, branches, state.inner_states)
        moving = iter(moves)
        moved = [next(moving) if is_trained(z) else z for z in still]
        updates = jax.tree.unflatten(treedef, moved)
        count = optax.safe_increment(state.count)
        if len(names) == 1 or not moves:
            return updates, state._replace(count=count, inner_states=states)
        seen = Seen(count, number, grads, updates, extra_args)
        after, memory = self.criterion.decide(state.memory, seen)
        return updates, SwitchState(count, self._flags(after), self._flags(number), memory, states)

    def _step(
        self,
        k: int,
        first: bool,
        still: list[Any],
        grads: Any,
        state: Any,
        params: Any,
        extra_args: dict[str, Any],
        states: dict[str, Any],
    ) -> tuple[list[Any], dict[str, Any]]:
        """The step of the k-th member; first: its first one after another member's."""
        name = self.names[k]
        before = states[name]
        if first:
            before = self._beginning(k, before, states, state, params)
        updates, after = self.inners[name].update(grads, before, params, **extra_args)
        moves = map(as_before, still, matching(flat(grads)[1], updates))
        after = jax.tree.map(as_before, states[name], after)
        return [u for u in moves if is_trained(u)], {**states, name: after}

    def _beginning(
        self, k: int, before: Any, states: dict[str, Any], state: Any, params: Any
    ) -> Any:
        """The state of the k-th member when it takes over from the one that moved last."""
        names = self.names
        givers = (
            names[max(k - 1, 0) : k] if self.criterion.onward else [*names[:k], *names[k + 1 :]]
        )

        def handing(giver: str) -> Any:
            fresh = self.inners[names[k]].init(params)
            given = handed_over(
                self.structures[giver], states[giver], self.structures[names[k]], fresh
            )
            return jax.tree.map(as_before, before, with_rates_of(before, given))

        number = jnp.argmax(jnp.stack([state.last[giver] for giver in givers]))
        begun = taken(number, [functools.partial(handing, giver) for giver in givers])
        return self.criterion.begin(state.memory, begun, params)

    def _flags(self, number: jax.Array) -> dict[str, jax.Array]:
        return {name: jnp.asarray(number == k) for k, name in enumerate(self.names)}
