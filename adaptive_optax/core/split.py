"""`split`: some leaves to one transformation, the others to another.

Every part sees the whole tree with None in place of the leaves that are not its own, and None has
no state: no masks, no wrappers, and any part that takes trees with None.
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax
import optax

from adaptive_optax.core.leaves import broadcast, flat, matching
from adaptive_optax.core.types import Transformation


class SplitState(NamedTuple):
    """What the parts remember."""

    parts: dict[str, Any]  # part's name -> its state


def split(
    function: str,
    argument: str,
    choose: Any,
    part: Callable[[Hashable], tuple[str, optax.GradientTransformation]],
) -> Transformation:
    """One transformation of several, each for its own leaves.

    Args:
      function: what errors call the optimizer.
      argument: what errors call `choose`.
      choose: a label a leaf: a tree like the parameters, a prefix of one, or a function from the
        parameters (at update from the gradients, where there are none) to one.
      part: from a label to the name and the transformation of its leaves.

    Returns:
      A transformation whose state is `SplitState(parts)`. It forwards extra arguments.
    """

    def groups(tree):
        leaves, treedef = flat(tree)
        labels = treedef.flatten_up_to(broadcast(function, argument, choose, tree))
        names, parts = [], {}
        for x, label in zip(leaves, labels, strict=True):
            name, tx = (None, None) if x is None else part(label)
            names.append(name)
            if tx is not None:
                parts[name] = optax.with_extra_args_support(tx)
        return names, parts, treedef

    def only(name, names, treedef, tree):
        if tree is None:
            return None
        leaves = zip(names, matching(treedef, tree), strict=True)
        return jax.tree.unflatten(treedef, [x if mine == name else None for mine, x in leaves])

    def init(params):
        names, parts, treedef = groups(params)
        states = {n: tx.init(only(n, names, treedef, params)) for n, tx in sorted(parts.items())}
        return SplitState(states)

    def update(grads, state, params=None, **extra_args):
        names, parts, treedef = groups(grads if params is None else params)
        merged = [None] * len(names)
        states = {}
        for name, tx in sorted(parts.items()):
            g, p = (only(name, names, treedef, tree) for tree in (grads, params))
            updates, states[name] = tx.update(g, state.parts[name], p, **extra_args)
            for i, u in enumerate(matching(treedef, updates)):
                merged[i] = u if names[i] == name else merged[i]
        return jax.tree.unflatten(treedef, merged), SplitState(states)

    return optax.GradientTransformationExtraArgs(init, update)
