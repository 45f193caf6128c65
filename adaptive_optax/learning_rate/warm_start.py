"""`warm_start`: the moments of a pre-training run in the state of a fine-tuning run.

Adam divides its averages by 1 - b^t, the weight that they have collected after t steps. A second
moment of a long run under a fresh count would be divided by 1 - b2 at the first step: it would
count a thousand times, and the steps would be 32 times too small. No scale of it alone puts that
right for every t. A weight and a count that agree do:

    slot <- slot (1 - b^s) / (1 - b^T)      count <- s

T is the pre-training's count. The corrected averages are then exactly those of before, and every
later one is a mean of all it has seen, in which pre-training counts as s = `steps` steps.

A new leaf, such as a head, has seen none of these s steps, but shares the count. Under a constant
gradient and Adam's defaults its steps are from 0.48 to 1.12 times as large as with a count of its
own for s = 10; up to 1.4 times for s = 30, 2.1 for 100, 5.2 for 1000 and 6.6 for a whole run.
Hence the small default. For more, give new leaves an optimizer of their own (`optax.partition`),
whose count stays at 0, since nothing of it is carried.

Without the first moment (`fields=("nu",)`) the mean gradient starts at zero under the count s: the
steps grow from 0.15 of their size to 0.9 within 20, a warm-up that does no harm.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import bias, scaled
from adaptive_optax.core.checks import check_fraction, check_steps
from adaptive_optax.core.leaves import is_trained

DECAYS = {"mu": 0.9, "nu": 0.999}  # of Adam and its kin


class _Slot(NamedTuple):
    """A leaf of an optimizer's state that belongs to a parameter."""

    leaf: int  # its number among the state's leaves
    field: str
    path: str  # of the parameter
    place: tuple[str, ...]  # in the state
    counter: int | None  # the leaf with the count of the same rule; None where it has none
    both: bool  # whether the rule has mu and nu


def warm_start(
    state: Any,
    pretrained: Any,
    *,
    fields: Sequence[str] | Mapping[str, float | None] = ("mu", "nu"),
    steps: int | None = 10,
    where: Callable[[str], bool] | None = None,
) -> Any:
    """A fresh optimizer state with the moments that a pre-trained one has for the same parameters.

    A slot is carried where pretrained has one of that field and path, of the same shape; all else
    stays as it is in state, new heads too. Both may be any nesting of chains and wrappers, of this
    library or optax, of different rules, and pretrained may be nested dicts of a checkpoint.

    Args:
      state: from the fine-tuning optimizer's `init`.
      pretrained: the pre-training optimizer's state, after at least one update.
      fields: names of the slots to carry, "mu" and "nu" with Adam's decays 0.9 and 0.999, for
        Adam and rules that correct both as it does (adamw, nadam, amsgrad, yogi, lamb, ...); or
        name -> decay, each in [0, 1), and None for a slot that its rule does not correct for bias
        (in rmsprop, adagrad, lion, adopt; nu in adamax), which is carried as it is.
      steps: how many steps pre-training is to count as, at least 1, where the rule has a count;
        the count then starts there, and with it a schedule of one of our optimizers. None is a
        true resume, all steps that it had: only where no leaf under that count is new.
      where: whether to carry the slots of the parameter at a path such as "Dense_0/kernel"; None
        carries all. A new head of the old one's shape has to be left out here.

    Returns:
      A state of the structure, shapes and dtypes of `state`, in arrays of its own.

    Raises:
      TypeError: for fields or steps of the wrong kind.
      ValueError: where nothing could be carried; where a slot could come from two places; where
        pretrained has made no update, or holds a stack of states; for a resume with new leaves;
        for names without decays, of a rule that has a count, but only one of mu and nu.

    >>> import optax
    >>> params = {"body": jnp.ones(1), "head": jnp.ones(2)}
    >>> tx = optax.adam(1e-3)
    >>> _, old = tx.update(params, tx.init(params))
    >>> fresh = tx.init({"body": jnp.ones(1), "head": jnp.ones(5)})
    >>> warm = warm_start(fresh, old)
    >>> [round(float(x[0]), 5) for x in (*warm[0].nu.values(),)], int(warm[0].count)
    ([0.00996, 0.0], 10)
    """
    decays = _decays(fields)
    if steps is not None:
        check_steps("warm_start", steps=steps)
    if where is not None and not callable(where):
        raise TypeError(
            f"warm_start(where={where!r}): where must be a function from a path to a bool."
        )
    leaves, treedef, slots = _slots("state", state, decays)
    old_leaves, _, old_slots = _slots("pretrained", pretrained, decays)
    wanted = [slot for slot in slots if where is None or where(slot.path)]
    pairs = _paired(wanted, leaves, old_slots, old_leaves)
    if not isinstance(fields, Mapping):
        _check_corrected([slot for pair in pairs for slot in pair])
    if steps is None:
        _check_resume(slots, pairs)
    counts: dict[int, jax.Array] = {}
    carried = {}
    for slot, old in pairs:
        decay, factor = decays[slot.field], None
        if decay is not None:
            before = None if old.counter is None else _count(old_leaves[old.counter], old)
            if slot.counter is not None and slot.counter not in counts:
                counts[slot.counter] = _start(steps, before, slot)
            now = None if slot.counter is None else counts[slot.counter]
            if now is not before:
                factor = _weight(decay, now) / _weight(decay, before)
        carried[slot.leaf] = _as(leaves[slot.leaf], old_leaves[old.leaf], factor)
    carried |= {index: _as(leaves[index], count, None) for index, count in counts.items()}
    return jax.tree.unflatten(treedef, [carried.get(i, x) for i, x in enumerate(leaves)])


def _slots(which: str, tree: Any, decays: Mapping[str, Any]) -> tuple[list, Any, list[_Slot]]:
    """Leaves and structure of a state, and its leaves under the fields."""
    pairs, treedef = jax.tree_util.tree_flatten_with_path(tree)
    places = [_names(path) for path, _ in pairs]
    index = {place: i for i, place in enumerate(places)}
    known = {place[:j] for place in places for j in range(len(place) + 1)}
    slots = []
    for i, place in enumerate(places):
        at = next((j for j, name in enumerate(place) if name in decays), None)
        if at is None or not is_trained(jnp.asarray(pairs[i][1])):
            continue
        owner = place[:at]
        both = {(*owner, "mu"), (*owner, "nu")} <= known
        owner = owner[:-1] if owner[-1:] == ("slots",) else owner
        path = "/".join(place[at + 1 :]).removeprefix("params/")
        slots.append(_Slot(i, place[at], path, place, index.get((*owner, "count")), both))
    if not slots:
        raise ValueError(
            f"warm_start({which}=...): it has no slot named {' or '.join(decays)}; give the state "
            f"of an optimizer, and name its slots in fields=."
        )
    return [leaf for _, leaf in pairs], treedef, slots


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    """The names along a path, without what flax's nnx puts around an array."""
    names = tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
    return names[:-1] if names[-1:] == ("value",) else names


def _paired(slots: list, leaves: list, old_slots: list, old_leaves: list) -> list[tuple]:
    """The slots of state that are carried, each with where it comes from."""
    sources: dict[tuple[str, str], list[_Slot]] = {}
    for old in old_slots:
        sources.setdefault((old.field, old.path), []).append(old)
    pairs = []
    for slot in slots:
        found = sources.get((slot.field, slot.path), [])
        if len(found) > 1:
            found = [old for old in found if old.place == slot.place] or found
        if len(found) > 1:
            where = " and ".join("/".join(old.place) for old in found)
            raise ValueError(
                f"warm_start(pretrained=...): {slot.field} of {slot.path or 'the root'} is there "
                f"at {where}; give the part of the state that is meant."
            )
        if found and jnp.shape(old_leaves[found[0].leaf]) == jnp.shape(leaves[slot.leaf]):
            pairs.append((slot, found[0]))
    if not pairs:
        raise ValueError(
            f"warm_start(state=..., pretrained=...): no slot agrees in path and shape; state has "
            f"{_shown(slots, leaves)}, pretrained {_shown(old_slots, old_leaves)}. Start both from "
            f"the same names of parameters."
        )
    return pairs


def _check_corrected(slots: list[_Slot]) -> None:
    """Names without decays are those of rules that look like Adam, or have no count."""
    for slot in slots:
        if slot.field in DECAYS and slot.counter is not None and not slot.both:
            raise ValueError(
                f"warm_start(fields=...): the rule of {'/'.join(slot.place)} may correct "
                f"{slot.field} for bias or not; give fields={{{slot.field!r}: None}} if not, as "
                f"in rmsprop, adagrad and lion, else {{{slot.field!r}: decay}}."
            )


def _check_resume(slots: list[_Slot], pairs: list[tuple[_Slot, _Slot]]) -> None:
    """No leaf is new under a count that is carried."""
    carried = {slot.leaf for slot, _ in pairs}
    counts = {slot.counter for slot, _ in pairs if slot.counter is not None}
    for slot in slots:
        if slot.counter in counts and slot.leaf not in carried:
            raise ValueError(
                f"warm_start(steps=None): {slot.path} is new, and under the count of pre-training "
                f"its steps would be several times too large; give steps=10, or give new leaves "
                f"an optimizer of their own with optax.partition."
            )


def _start(steps: int | None, before: Any, slot: _Slot) -> Any:
    """The count to start with."""
    if steps is not None:
        return jnp.asarray(steps, jnp.int32)
    if before is None:
        raise ValueError(
            f"warm_start(steps=None): pretrained has no count for {slot.field}; give steps=, how "
            f"many steps it is to count as."
        )
    return before


def _count(count: Any, slot: _Slot) -> Any:
    """Pre-training's count, a scalar above 0."""
    where = "/".join(slot.place)
    if jnp.shape(count) != ():
        raise ValueError(
            f"warm_start(pretrained=...): the count of {where} has shape {jnp.shape(count)}; for a "
            f"stack of states use jax.vmap(warm_start)."
        )
    if not isinstance(count, jax.core.Tracer) and int(count) < 1:
        raise ValueError(
            f"warm_start(pretrained=...): {where} has seen no update; give the state at the end "
            f"of pre-training."
        )
    return jnp.asarray(count)


def _weight(decay: float, count: Any) -> Any:
    """What an average has collected by that count; 1 where its rule does not correct for it."""
    return 1.0 if count is None else bias(decay, count)


def _as(fresh: Any, x: Any, factor: Any) -> Any:
    """A new array of x, times the factor, of the dtype and on the devices of a fresh one."""
    x = jnp.array(x, copy=True)
    x = (x if factor is None else scaled(x, factor)).astype(fresh.dtype)
    traced = isinstance(fresh, jax.core.Tracer) or isinstance(x, jax.core.Tracer)
    return jax.device_put(x, fresh.sharding) if hasattr(fresh, "sharding") and not traced else x


def _decays(fields: Any) -> dict[str, float | None]:
    """The decay of each field; None for one that is carried as it is."""
    if isinstance(fields, Mapping):
        check_fraction("warm_start", **{k: v for k, v in fields.items() if v is not None})
        return dict(fields)
    many = isinstance(fields, Sequence) and not isinstance(fields, str) and fields
    if not many or not all(isinstance(field, str) for field in fields):
        raise TypeError(
            f"warm_start(fields={fields!r}): fields must be names, such as ('mu', 'nu'), or a "
            f"dict from a name to its decay."
        )
    return {field: DECAYS.get(field) for field in fields}


def _shown(slots: list[_Slot], leaves: list) -> str:
    """The first few slots with their shapes, for an error."""
    some = [f"{s.field} of {s.path or 'the root'} {list(jnp.shape(leaves[s.leaf]))}" for s in slots]
    return ", ".join(some[:3]) + (", ..." if len(some) > 3 else "") if some else "none"
