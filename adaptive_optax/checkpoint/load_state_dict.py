"""`load_state_dict`: a saved state into an optimizer that may have been edited since."""

import logging
from collections.abc import Mapping
from typing import Any

import jax
import optax

from adaptive_optax.checkpoint.encoded_states import closed, opened
from adaptive_optax.checkpoint.leaf_conversion import restored
from adaptive_optax.checkpoint.load_checks import check_forms, check_whole
from adaptive_optax.checkpoint.load_preview import (
    comparison,
    counts_lost,
    listed_names,
    values_of,
)
from adaptive_optax.checkpoint.matching import sources
from adaptive_optax.checkpoint.names import KEPT, entries
from adaptive_optax.checkpoint.state_dict import check_leaves
from adaptive_optax.core.checks import check_arrays, check_flag, check_transformation

_log = logging.getLogger("adaptive_optax.checkpoint")


def load_state_dict(
    tx: optax.GradientTransformation, params: Any, saved: Mapping[str, Any], strict: bool = True
) -> Any:
    """A state of `tx` with all that `state_dict` saved and that has a place in it.

    Each leaf takes the value of its name, so that a state goes on where a clip, a schedule, a decay
    or a wrapper was added or taken away, from adam to adamw, from optax's to ours, and into or out
    of `stored`. What has no saved value is new, as `tx.init(params)` makes it; what has no place is
    dropped. The logger "adaptive_optax.checkpoint" tells all of it, and
    `ao.checkpoint.compared(tx, params, saved)` returns it, without loading.

    A rule whose slots are carried takes their count of steps, and so does a schedule that is new,
    since both begin with the run. Where nothing saved tells the count, as nothing in
    `optax.rmsprop` does, it is 0, and a warning is logged; to set it, give
    `{**saved, "count": steps}`. Labels of several optimizers (`blend`, `optax.partition`) are
    looked past where one side has none, and only one of those on the other has the name.

    Args:
      tx: the transformation to go on with; any of optax or ours.
      params: the parameters to go on with. Slots have the dtype and the sharding that init gives
        them for these.
      saved: what `state_dict` gave, from any file: arrays by name.
      strict: True refuses what would be carried in part: a file from which something is missing, a
        leaf that the parameters or saved do not have, one slot of a rule without another, and a
        state that has no slot in common with this one. False takes what there is.

    Returns:
      The state.

    Raises:
      TypeError: where tx is no transformation, saved no mapping, or params traced or no
        arrays.
      ValueError: for another version, another shape or kind of number, always; and for what strict
        refuses, with names.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> params = {"w": jnp.ones(2)}
    >>> old = optax.adam(1e-2)
    >>> _, state = old.update({"w": jnp.ones(2)}, old.init(params), params)
    >>> new = ao.lookahead(ao.adamw(1e-2))
    >>> loaded = load_state_dict(new, params, ao.state_dict(state))
    >>> loaded.inner_state.slots.mu["w"].tolist(), int(loaded.inner_state.count)
    ([0.10000000149011612, 0.10000000149011612], 1)
    """
    check_transformation("load_state_dict", tx=tx)
    check_arrays("load_state_dict", params=params)
    check_flag("load_state_dict", strict=strict)
    listed = listed_names("load_state_dict", saved)
    saved = {name: saved[name] for name in saved}  # read once, where they are read from a file
    fresh = tx.init(params)
    check_leaves("load_state_dict", fresh)
    tree = opened(fresh)
    rows = entries(tree)
    found = sources(rows, values_of(saved))
    check_forms(rows, found, saved)
    if strict:
        check_whole(rows, found, values_of(saved), listed)
    told = comparison(rows, found, saved)
    level = logging.WARNING if counts_lost(rows, found) else logging.INFO
    _log.log(level, "load_state_dict:\n%s", told)
    leaves = [
        row.leaf if name is None else restored(row.leaf, saved[name])
        for row, name in zip(rows, found, strict=True)
    ]
    kept: dict[int, bool] = {}
    for row, name in zip(rows, found, strict=True):
        if row.kind == KEPT:
            kept[row.node] = kept.get(row.node, False) or name is not None
    again = closed(fresh, jax.tree.unflatten(jax.tree.structure(tree), leaves), iter(kept.values()))
    return jax.tree.map(_placed, fresh, again)


def _placed(like: Any, leaf: Any) -> Any:
    """A leaf that was encoded anew, sharded as init does it."""
    if isinstance(like, jax.Array) and like.committed and leaf.sharding != like.sharding:
        return jax.device_put(leaf, like.sharding)
    return leaf
