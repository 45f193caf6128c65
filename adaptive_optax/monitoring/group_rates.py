"""The learning rate of each group: what it comes to, and, where it is set, its way into updates."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import narrowed, scaled, working_dtype
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.rate import UNKNOWN, Rate
from adaptive_optax.core.types import Scalar
from adaptive_optax.introspection.effective_rate import effective
from adaptive_optax.introspection.structure import Part, parts

Members = Mapping[str, set[int]]  # of each group the places of its leaves


class GroupRate(NamedTuple):
    """The learning rate of one group."""

    base: Any  # as it is built
    now: Any  # what it comes to
    size: int  # numbers in the group


class Follower:
    """Follows the learning rates of an optimizer, and sets them where its own state does not.

    Args:
      part: the optimizer, taken apart.
      grouped: whether there are groups, each with a rate of its own to set.
    """

    def __init__(self, part: Part, grouped: bool):
        self.part, self.grouped = part, grouped
        linear = not any(each.keeps_parameters for each in parts(part))
        self.sets = linear and (grouped or not _keeps_all(part))

    def rates(self, before: Any, after: Any, tree: Any, members: Members) -> dict[str, GroupRate]:
        """The rate of each group in the update between two states of the optimizer."""
        found = effective(self.part, before, after, tree)
        whole = {id(each): each.rate for each in found}  # one for all leaves that share it
        sizes = [int(x.size) if is_trained(x) else 0 for x in flat(tree)[0]]
        rates = {}
        for name, places in members.items():
            own, mine = [found[i] for i in sorted(places)], [sizes[i] for i in sorted(places)]
            base = mean_rate([each.base for each in own], mine)
            now = mean_rate([whole[id(each)] for each in own], mine)
            rates[name] = GroupRate(base, now, sum(mine))
        return rates

    def first(self, rates: Mapping[str, GroupRate]) -> Any:
        """What the state keeps of rates that can be set here: a `Rate`, or one a group."""
        if not self.sets:
            return None
        kept = {
            name: Rate(_size(float32(rate.base)), jnp.zeros((), bool))
            for name, rate in rates.items()
        }
        return self._state(kept)

    def follow(self, updates: Any, rates: Any, kept: Any, members: Members) -> tuple[Any, Any, Any]:
        """Updates, rates and what is kept of them, with the rates that are set.

        An update of a group whose rate is not set is untouched. One that goes uphill by a negative
        rate goes on doing so: what is set is the size.
        """
        if not self.sets:
            return updates, rates, kept
        leaves, treedef = jax.tree.flatten(updates, is_leaf=lambda x: x is None)
        followed, keeping = {}, {}
        for name, rate in rates.items():
            now, by = _set(rate, kept[name] if self.grouped else kept)
            followed[name] = rate._replace(now=float32(rate.now) * by)
            keeping[name] = now
            for i in members[name]:
                leaves[i] = _times(leaves[i], by, now.held)
        return jax.tree.unflatten(treedef, leaves), followed, self._state(keeping)

    def factors(self, rates: Any, kept: Any, members: Members) -> Any:
        """What each leaf's update is multiplied by, for those who look at it from outside."""
        if not self.sets:
            return 1.0
        found: dict[int, jax.Array] = {}
        for name, rate in rates.items():
            by = _set(rate, kept[name] if self.grouped else kept)[1]
            found |= dict.fromkeys(members[name], by)
        return [found[place] for place in sorted(found)]

    def _state(self, kept: dict[str, Rate]) -> Any:
        return kept if self.grouped else next(iter(kept.values()))


def _set(rate: GroupRate, kept: Rate) -> tuple[Rate, jax.Array]:
    """The rate that an update goes by, and what it is multiplied by for that."""
    base = _size(float32(rate.base))
    now = jnp.where(kept.held, kept.now, base)
    known = jnp.isfinite(base) & (base > 0)
    by = jnp.where(known, now / jnp.where(known, base, 1.0), 1.0)
    return Rate(now, kept.held), jnp.where(kept.held, by, 1.0)


def whole_rate(rates: Mapping[str, GroupRate]) -> Any:
    """The mean of the groups' rates, by size; unknown where one of them is."""
    own = [rate for rate in rates.values() if rate.size]
    mean = float32(mean_rate([rate.now for rate in own], [rate.size for rate in own]))
    for rate in own:
        mean = jnp.where(float32(rate.now) == UNKNOWN, UNKNOWN, mean)
    return mean


def _size(rate: jax.Array) -> jax.Array:
    """A rate without its sign; unknown where it is."""
    return jnp.where(rate == UNKNOWN, UNKNOWN, jnp.abs(rate))


def float32(x: Any) -> jax.Array:
    """A number as a strong float32 scalar of its own: finite stays finite, nan is UNKNOWN."""
    if x is None or (isinstance(x, float) and math.isnan(x)):
        x = UNKNOWN
    x = jnp.asarray(x)
    if x.shape != ():
        raise ValueError(
            f"monitored.update(value=array of shape {x.shape}): value must be a scalar, the loss."
        )
    if x.dtype.kind in "iub":
        return x.astype(jnp.float32)
    x = jax.lax.stop_gradient(narrowed(x, jnp.dtype(jnp.float32)))
    return jnp.array(jnp.where(jnp.isnan(x), UNKNOWN, x), jnp.float32)


def _times(u: Any, by: jax.Array, held: jax.Array) -> Any:
    """U times a factor where that is held; else the same bits."""
    if u is None or not is_trained(u):
        return u
    moved = narrowed(scaled(u.astype(working_dtype(u.dtype)), by), u.dtype)
    return jnp.where(held, moved, u)


def _keeps_all(part: Part) -> bool:
    """Whether the state has every learning rate in it that there is."""
    if part.name == "inject_hyperparams" or part.observes:
        return True
    if part.members:
        return all(_keeps_all(member) for member in part.members.values())
    built_in = part.name in ("scale", "scale_by_schedule") or "learning_rate" in part.options
    return part.library == "adaptive_optax" or not built_in


def mean_rate(found: list[Scalar | None], sizes: list[int]) -> Any:
    """One rate of many leaves: their mean by size; nan where a leaf's is not known, or none is."""
    by_rate: dict[int, tuple[Any, int]] = {}
    for rate, size in zip(found, sizes, strict=True):
        before = by_rate.get(id(rate), (rate, 0))[1]
        by_rate[id(rate)] = (rate, before + size)
    whole = sum(size for _, size in by_rate.values())
    if whole == 0 or any(rate is None and size for rate, size in by_rate.values()):
        return jnp.nan
    if len({id(rate) for rate, size in by_rate.values() if size}) == 1:
        return next(rate for rate, size in by_rate.values() if size)
    return sum(rate * (size / whole) for rate, size in by_rate.values() if size)
