"""The order of a model's layers, read from the names in its parameters' paths.

At one place of the tree: embeddings and stems, convolutions, numbered blocks or a container of
them, a decoder, dense layers, heads. Numbers order the layers of one name; numbered norms go with
the layer that has their numbers. Whatever leaves two orders possible raises.
"""

import functools
import re
from typing import Any, NamedTuple

_FIRST = {"embedder", "stem", "patch", "pos", "position", "positional", "wte", "wpe", "tok"}
_FIRST |= {"token", "tokens", "input", "inputs", "in", "init"}
_LAST = {"head", "heads", "classifier", "classification", "logits", "output", "outputs", "out"}
_LAST |= {"final", "pooler", "readout", "predictions"}
_DENSE = {"dense", "linear", "lin", "fc"}
_PARAMETERS = {"kernel", "weight", "weights", "w", "bias", "b", "scale", "offset", "gamma", "beta"}
_PARAMETERS |= {"embedding", "embeddings", "g"}
_ORDER = ("first", "conv", "middle", "decoder", "dense", "last")


class _Group(NamedTuple):
    """The parameters of one layer."""

    name: str
    leaves: list[int]
    mark: str  # "first" or "last", of which neighbours are one layer; else ""


class _Family(NamedTuple):
    """The children of one place that share a name but for the number."""

    kind: str
    members: dict[int, list[str]]  # number -> names


@functools.lru_cache(maxsize=256)
def named_layers(function: str, paths: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names of the layers, from first to last, and the number of each path's layer.

    Args:
      function: what errors call the function.
      paths: of all parameters, such as "Dense_0/kernel".

    Raises:
      ValueError: where the names do not tell.
    """
    root: dict[str, Any] = {}
    for index, path in enumerate(paths):
        words = [word for word in re.split(r"[/.]", path) if word not in ("", "~")]
        if not words:
            return ("the root",), (0,)
        node = root
        for word in words[:-1]:
            node = node.setdefault(word, {})
            if isinstance(node, int):
                raise _unclear(function, path, [path])
        node[words[-1]] = index
    if _is_module(root):
        return ("the root",), (0,) * len(paths)
    groups: list[_Group] = []
    for group in _ordered(function, root, ""):
        if groups and group.mark and groups[-1].mark == group.mark:
            last = groups.pop()
            group = _Group(f"{last.name} + {group.name}", last.leaves + group.leaves, group.mark)
        groups.append(group)
    depth = {leaf: i for i, group in enumerate(groups) for leaf in group.leaves}
    return tuple(group.name for group in groups), tuple(depth[i] for i in range(len(paths)))


def _ordered(function: str, node: dict[str, Any], place: str) -> list[_Group]:
    """The layers at one place of the tree."""
    families = _families(function, node, place)
    rows: dict[str, list[_Family]] = {kind: [] for kind in _ORDER}
    for family in families:
        rows[family.kind].append(family)
    if _is_unclear(rows):
        raise _unclear(function, place, list(node))
    groups = []
    for kind in _ORDER:
        for family in rows[kind]:
            marked = kind in ("first", "last")
            for number, names in sorted(family.members.items()):
                child, name = node[names[0]], place + names[0]
                alone = len(family.members) == 1 and len(names) == 1 and not marked
                block = number >= 0 and re.search(r"(block|layer)[_-]?\d+$", names[0].lower())
                if alone and not block and not isinstance(child, int) and not _is_module(child):
                    groups += _ordered(function, child, f"{name}/")
                else:
                    leaves = [leaf for each in names for leaf in _leaves(node[each])]
                    groups.append(_Group(name, leaves, kind if marked else ""))
    return groups


def _families(function: str, node: dict[str, Any], place: str) -> list[_Family]:
    """The children by name, with norms put to the layers that they belong to."""
    found: dict[str, dict[int, list[str]]] = {}
    for name, child in node.items():
        stem, number = _split(name)
        if isinstance(child, int) and number >= 0 and stem.lower() in _PARAMETERS:
            stem = ""  # w1 and b1 are layer 1
        found.setdefault(stem, {}).setdefault(number, []).append(name)
    for members in found.values():
        if -1 in members and len(members) > 1:  # haiku: linear, linear_1
            if 0 in members:
                raise _unclear(function, place, list(node))
            members[0] = members.pop(-1)
    families: list[_Family] = []
    norms: list[_Family] = []
    for stem, members in found.items():
        leaf = all(isinstance(node[name], int) for names in members.values() for name in names)
        kind = _kind(stem, len(members) > 1, leaf) if len(found) > 1 else "middle"
        (norms if kind == "norm" else families).append(_Family(kind, members))
    kinds = {family.kind for family in families}
    for norm in norms:
        fits = [each for each in families if _fits(norm.members, each.members)]
        if list(norm.members) == [-1] and kinds & {"middle", "decoder"} and "conv" not in kinds:
            families.append(norm._replace(kind="last"))  # the norm after a row of blocks
        elif len(fits) == 1 and -1 not in norm.members:
            for number, names in norm.members.items():
                fits[0].members[number].extend(names)
        else:
            raise _unclear(function, place, list(node))
    return families


def _fits(norm: dict[int, list[str]], layers: dict[int, list[str]]) -> bool:
    """Whether there is one norm for each layer, or for each but the last."""
    numbers = sorted(layers)
    return sorted(norm) in (numbers, numbers[:-1])


def _split(name: str) -> tuple[str, int]:
    """A name without its number, and the number; -1 where it has none."""
    found = re.fullmatch(r"(.*?)[_-]?(\d+)", name)
    return (found[1], int(found[2])) if found else (name, -1)


def _kind(stem: str, several: bool, leaf: bool) -> str:
    """What a name says about its place, one of `_ORDER` or "norm"."""
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", stem)}
    conv = any(word.startswith("conv") for word in words) and "transpose" not in words
    if words & {"attention", "attn", "transpose"}:
        return "middle"
    if words & _LAST:
        return "last"
    first = words & _FIRST or any("embed" in word for word in words) or (leaf and words == {"cls"})
    if first and not (several and conv):
        return "first"
    if words & {"ln", "bn"} or any("norm" in word for word in words):
        return "norm"
    if conv:
        return "conv"
    if words & _DENSE:
        return "dense"
    return "decoder" if words == {"decoder"} else "middle"


def _is_unclear(rows: dict[str, list[_Family]]) -> bool:
    """Whether the children of these kinds could stand in more than one order."""
    if any(len(rows[kind]) > 1 for kind in ("conv", "middle", "decoder", "dense")):
        return True
    if not (rows["middle"] or rows["decoder"]):
        return False
    # One convolution or dense layer beside blocks may stand before or after them.
    if any(len(family.members) > 1 for family in rows["conv"] + rows["dense"]):
        return True
    before, after = rows["first"] or rows["conv"], rows["last"] or rows["dense"]
    return bool((rows["conv"] and not after) or (rows["dense"] and not before))


def _is_module(node: Any) -> bool:
    """Whether a place holds the parameters of one layer, such as kernel and bias, and no more."""
    return isinstance(node, dict) and all(
        isinstance(child, int) and name.lower() in _PARAMETERS for name, child in node.items()
    )


def _leaves(node: Any) -> list[int]:
    return [node] if isinstance(node, int) else [i for each in node.values() for i in _leaves(each)]


def _unclear(function: str, place: str, names: list[str]) -> ValueError:
    where = place.rstrip("/") or "the root"
    return ValueError(
        f"{function}(layers=None): the names do not tell the order of {', '.join(names)} at "
        f"{where}; give layers=, a list of regular expressions from the first layer to the last, "
        f"or a function from a path to the number of its layer."
    )
