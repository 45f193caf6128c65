"""Which layer each parameter is in, counted from the input, by the names in its path.

Libraries name their layers in the order in which they are made: `Dense_0` to `Dense_10` (flax),
`linear`, `linear_1` (haiku), `layers/3` (lists). The rules below read that order, put embeddings
and stems first and heads last, and raise where names do not tell. The parts of a numbered block
are one layer, as in BEiT (Bao et al., 2021, arXiv:2106.08254).
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import optax

from adaptive_optax.learning_rate.layer_names import named_layers

LayerNames: TypeAlias = Sequence[str] | Callable[[str], int] | None


class Layers(NamedTuple):
    """The layers of a model, from the input to the output."""

    names: tuple[str, ...]
    depths: tuple[int, ...]  # an index of names for each leaf of the parameters, None ones too


def layer_of(params: Any, layers: LayerNames = None, *, function: str = "layer_of") -> Layers:
    """The layer of every leaf of params.

    Args:
      params: parameters, or a tree of that structure.
      layers: None reads the order from the names. Otherwise regular expressions from the first
        layer to the last, of which the first that is found in a leaf's path ("Dense_0/kernel")
        counts, a number at its end being the whole number; or a function from a path to the
        number of its layer, 0 at the input.
      function: what errors call the function.

    Raises:
      TypeError, ValueError: for layers of the wrong kind, for a leaf of no layer, for an
        expression of no leaf, and where names do not tell the order.

    >>> import jax.numpy as jnp
    >>> params = {f"Dense_{i}": {"kernel": jnp.ones((2, 2))} for i in (0, 2, 10)}
    >>> layer_of(params)
    Layers(names=('Dense_0', 'Dense_2', 'Dense_10'), depths=(0, 2, 1))
    >>> layer_of(params, ["Dense_[02]", "Dense_10"]).depths
    (0, 1, 0)
    """
    check_layers(function, layers)
    paths, masked = _paths(params)
    if not paths:
        return Layers((), ())
    if layers is None:
        names, depths = named_layers(function, paths)
    elif callable(layers):
        names, depths = _called(function, paths, layers)
    else:
        names, depths = _matched(function, paths, tuple(layers))
    kept = zip(depths, masked, strict=True)
    return Layers(names, tuple(depth for depth, hidden in kept if not hidden))


def layers_of(params: Any, layers: LayerNames = None) -> dict[str, list[str]]:
    """The paths of each layer's parameters, from the input to the output, to look at.

    Args:
      params: parameters.
      layers: as in `layer_of`.

    >>> import jax.numpy as jnp
    >>> layers_of({"head": jnp.ones(2), "embed": jnp.ones(2), "layers": [jnp.ones(2)] * 2})
    {'embed': ['embed'], 'layers/0': ['layers/0'], 'layers/1': ['layers/1'], 'head': ['head']}
    """
    names, depths = layer_of(params, layers, function="layers_of")
    paths, masked = _paths(params)
    shown = [path for path, hidden in zip(paths, masked, strict=True) if not hidden]
    found: dict[str, list[str]] = {name: [] for name in names}
    for path, depth in zip(shown, depths, strict=True):
        found[names[depth]].append(path or "the root")
    return found


def check_layers(function: str, layers: LayerNames) -> None:
    """`layers` is None, a function, or a sequence of regular expressions."""
    if layers is None or callable(layers):
        return
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise TypeError(
            f"{function}(layers={layers!r}): layers must be a list of regular expressions, from "
            f"the first layer to the last, or a function from a path to a number."
        )
    for index, pattern in enumerate(layers):
        try:
            re.compile(pattern)
        except (TypeError, re.error) as error:
            raise ValueError(
                f"{function}(layers[{index}]={pattern!r}): it must be a regular expression: {error}"
            ) from error


def parameter_path(path: tuple[Any, ...]) -> str:
    """A path of jax as "Dense_0/kernel", without what flax's nnx puts around an array.

    >>> paths = jax.tree_util.tree_flatten_with_path({"a": [1.0]})[0]
    >>> parameter_path(paths[0][0])
    'a/0'
    """
    return re.sub(r"(^|/)value$", "", jax.tree_util.keystr(path, simple=True, separator="/"))


def _paths(tree: Any) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    """Paths of all leaves, and which of them `optax.masked` has hidden.

    Hidden leaves count, so that a mask does not make another layer the last.
    """
    pairs, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: x is None or _hidden(x))
    return tuple(parameter_path(path) for path, _ in pairs), tuple(_hidden(x) for _, x in pairs)


def _hidden(x: Any) -> bool:
    return isinstance(x, optax.MaskedNode)


@functools.lru_cache(maxsize=256)
def _matched(function: str, paths: tuple[str, ...], patterns: tuple[str, ...]) -> Any:
    """Names and depths by expressions; the paths of a run are the same at every update."""
    # Else "Dense_1" would take the leaves of Dense_10.
    compiled = [re.compile(rf"(?:{pattern})(?!(?<=\d)\d)") for pattern in patterns]
    depths = []
    for path in paths:
        found = (i for i, pattern in enumerate(compiled) if pattern.search(path))
        depth = next(found, None)
        if depth is None:
            raise ValueError(
                f"{function}(layers=...): {path or 'the root'} matches none of {list(patterns)}; "
                f"give an expression for it, at the place of its layer."
            )
        depths.append(depth)
    for i, pattern in enumerate(patterns):
        if i not in depths:
            raise ValueError(
                f"{function}(layers[{i}]={pattern!r}): no parameter is left for it, of "
                f"{', '.join(paths)}; correct it, put it before what takes its parameters, or "
                f"leave it out."
            )
    return patterns, tuple(depths)


def _called(function: str, paths: tuple[str, ...], layer: Callable[[str], int]) -> Any:
    """Names and depths by a function of the path."""
    depths = []
    for path in paths:
        depth = layer(path)
        if isinstance(depth, bool) or not hasattr(depth, "__index__"):
            raise TypeError(
                f"{function}(layers=...): layers({path!r}) gave {depth!r}; it must give the number "
                f"of the layer, an integer that is 0 at the input."
            )
        if depth < 0:
            raise ValueError(
                f"{function}(layers=...): layers({path!r}) gave {depth}; it must be at least 0, "
                f"which is the layer at the input."
            )
        depths.append(int(depth))
    return tuple(f"layer {i}" for i in range(max(depths) + 1)), tuple(depths)
