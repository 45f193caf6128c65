"""`split`: some leaves to one transformation, the others to another.

Each sees the whole tree with None in place of the leaves that are not its own, and None has no
state: no masks, no wrappers, and any transformation that takes trees with None.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from adaptive_optax.core.anatomy import described
from adaptive_optax.core.leaves import flat, matching
from adaptive_optax.core.types import Transformation


class SplitState(NamedTuple):
    """What the two transformations remember."""

    chosen: Any
    rest: Any


def split(
    choose: Callable[[Any], list[Any]],
    chosen: optax.GradientTransformation,
    rest: optax.GradientTransformation,
) -> Transformation:
    """One transformation of two, each for its own leaves.

    Args:
      choose: from the parameters, at update from the gradients, to a list with what is true or
        false for each leaf, None leaves included.
      chosen: for the leaves of which it is true.
      rest: for all others.

    Returns:
      A transformation whose state is `SplitState(chosen, rest)`. It forwards extra arguments.
    """
    chosen, rest = optax.with_extra_args_support(chosen), optax.with_extra_args_support(rest)

    def init(params):
        labels = choose(params)
        return SplitState(
            chosen.init(_only(labels, params, True)), rest.init(_only(labels, params, False))
        )

    def update(grads, state, params=None, **extra_args):
        labels, found = choose(grads), []
        for part, own, want in ((chosen, state.chosen, True), (rest, state.rest, False)):
            g, p = _only(labels, grads, want), _only(labels, params, want)
            found.append(part.update(g, own, p, **extra_args))
        (mine, own), (others, other) = found
        treedef = flat(grads)[1]
        pairs = zip(labels, matching(treedef, mine), matching(treedef, others), strict=True)
        updates = jax.tree.unflatten(treedef, [a if label else b for label, a, b in pairs])
        return updates, SplitState(own, other)

    tx = optax.GradientTransformationExtraArgs(init, update)
    members = {"chosen": chosen, "rest": rest}
    return described(tx, "split", options={"choose": choose}, members=members)


def _only(labels: list[Any], tree: Any, want: bool) -> Any:
    """The tree with None for the leaves whose label is not of that truth."""
    if tree is None:
        return None
    leaves, treedef = flat(tree)
    kept = [x if bool(label) == want else None for label, x in zip(labels, leaves, strict=True)]
    return jax.tree.unflatten(treedef, kept)
