"""Some leaves to one transformation, the others to another.

Each sees the whole tree with None in place of the leaves that are not its own, and None has no
state: no masks, no wrappers, and any transformation that takes trees with None.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from adaptive_optax.core.leaves import flat, matching
from adaptive_optax.core.transformation import Body, body_of


class SplitState(NamedTuple):
    """What the two transformations remember."""

    chosen: Any
    rest: Any


class Split(Body):
    """One transformation of two, each for its own leaves.

    Attributes:
      choose: from the parameters, at update from the gradients, to a list with what is true or
        false for each leaf, None leaves included.
      chosen: for the leaves for which it is true.
      rest: for all others.
    """

    choose: Callable[[Any], list[Any]]
    chosen: optax.GradientTransformation
    rest: optax.GradientTransformation

    @property
    def members(self) -> dict[str, optax.GradientTransformation]:
        return {"chosen": self.chosen, "rest": self.rest}

    @property
    def learning_rate_used(self) -> Any:
        body = body_of(self.chosen)
        return None if body is None else body.learning_rate_used

    def init(self, params: Any) -> SplitState:
        labels = self.choose(params)
        return SplitState(
            self.chosen.init(_only(labels, params, True)),
            self.rest.init(_only(labels, params, False)),
        )

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, SplitState]:
        labels, found = self.choose(grads), []
        for part, own, want in ((self.chosen, state.chosen, True), (self.rest, state.rest, False)):
            g, p = _only(labels, grads, want), _only(labels, params, want)
            part = optax.with_extra_args_support(part)
            found.append(part.update(g, own, p, **extra_args))
        (mine, own), (others, other) = found
        treedef = flat(grads)[1]
        pairs = zip(labels, matching(treedef, mine), matching(treedef, others), strict=True)
        updates = jax.tree.unflatten(treedef, [a if label else b for label, a, b in pairs])
        return updates, SplitState(own, other)


def _only(labels: list[Any], tree: Any, want: bool) -> Any:
    """The tree with None for the leaves whose label is not of that truth."""
    if tree is None:
        return None
    leaves, treedef = flat(tree)
    kept = [x if bool(label) == want else None for label, x in zip(labels, leaves, strict=True)]
    return jax.tree.unflatten(treedef, kept)
