"""The learning rate of each group: what it comes to, and, where it is set, its way into updates."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.anatomy import Part, parts
from adaptive_optax.core.arrays import narrowed, scaled, working_dtype
from adaptive_optax.core.effective import effective, mean_rate
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.rate import Rate

KEEPERS = ("lookahead", "schedule_free", "averaged")  # their state follows the update they return

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
        self.part = part
        linear = not any(each.name in KEEPERS for each in parts(part))
        self.sets = linear and (grouped or not _keeps_all(part))

    def rates(self, before: Any, after: Any, tree: Any, members: Members) -> dict[str, GroupRate]:
        """The rate of each group in the update between two states of the optimizer."""
        found = effective(self.part, before, after, tree)
        sizes = [int(x.size) if is_trained(x) else 0 for x in flat(tree)[0]]
        rates = {}
        for name, places in members.items():
            own, mine = [found[i] for i in sorted(places)], [sizes[i] for i in sorted(places)]
            base = mean_rate([each.base for each in own], mine)
            rates[name] = GroupRate(base, mean_rate([each.rate for each in own], mine), sum(mine))
        return rates

    def first(self, rates: Mapping[str, GroupRate]) -> dict[str, Rate] | None:
        """What the state keeps of rates that can be set here."""
        if not self.sets:
            return None
        return {name: Rate(float32(r.base), jnp.zeros((), bool)) for name, r in rates.items()}

    def follow(self, updates: Any, rates: Any, kept: Any, members: Members) -> tuple[Any, Any, Any]:
        """Updates, rates and what is kept of them, with the rates that are set.

        An update of a group whose rate is not set is untouched.
        """
        if not self.sets:
            return updates, rates, kept
        leaves, treedef = jax.tree.flatten(updates, is_leaf=lambda x: x is None)
        followed, keeping = {}, {}
        for name, rate in rates.items():
            base, held = float32(rate.base), kept[name].held
            now = jnp.where(held, kept[name].now, base)
            known = jnp.isfinite(base) & (base != 0)
            by = jnp.where(known, now / jnp.where(known, base, 1.0), 1.0)
            followed[name] = rate._replace(now=float32(rate.now) * by)
            keeping[name] = Rate(now, held)
            for i in members[name]:
                leaves[i] = _times(leaves[i], by, held)
        return jax.tree.unflatten(treedef, leaves), followed, keeping


def whole_rate(rates: Mapping[str, GroupRate]) -> Any:
    """The mean of the groups' rates, by size."""
    return mean_rate([rate.now for rate in rates.values()], [rate.size for rate in rates.values()])


def float32(x: Any) -> jax.Array:
    """A number as a strong float32 scalar of its own; what is finite stays finite."""
    x = jnp.asarray(x)
    if x.shape != ():
        raise ValueError(
            f"monitored.update(value=array of shape {x.shape}): value must be a scalar, the loss."
        )
    if x.dtype.kind in "iub":
        return x.astype(jnp.float32)
    return jnp.array(narrowed(x, jnp.dtype(jnp.float32)), jnp.float32)


def _times(u: Any, by: jax.Array, held: jax.Array) -> Any:
    """U times a factor where that is held; else the same bits."""
    if u is None or not is_trained(u):
        return u
    moved = narrowed(scaled(u.astype(working_dtype(u.dtype)), by), u.dtype)
    return jnp.where(held, moved, u)


def _keeps_all(part: Part) -> bool:
    """Whether the state has every learning rate in it that there is."""
    if part.name.startswith("inject_"):
        return True
    if part.members:
        return all(_keeps_all(member) for member in part.members.values())
    built_in = part.name in ("scale", "scale_by_schedule") or "learning_rate" in part.options
    return part.library == "adaptive_optax" or not built_in
