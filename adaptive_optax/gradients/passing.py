"""How filtered gradients reach the inner transformation: wide, and frozen leaves as they were.

Rounded to a narrow dtype once more than the gradients themselves, they would lose digits that the
filter has gathered. So the inner transformation gets them in float32 or wider, as `multi_steps`
does, and its state and updates keep their dtypes.
"""

from typing import Any

import jax
import optax

from adaptive_optax.core.arrays import working_dtype
from adaptive_optax.core.branches import as_before
from adaptive_optax.core.leaves import flat, matching, pair_leaves


def unpack(function: str, grads: Any, params: Any) -> Any:
    """The gradients of trained leaves in the dtype to compute in; None for all others.

    Raises:
      ValueError: where gradients and parameters differ in structure, shape or kind.
    """
    pairs = pair_leaves(function, grads, params)
    wide: list[Any] = [None] * len(pairs.grads)
    for i in pairs.trained:
        g, p = pairs.grads[i], pairs.params[i]
        wide[i] = g.astype(working_dtype((g if p is None else p).dtype))
    return pairs.treedef.unflatten(wide)


def pass_to_inner(
    inner: optax.GradientTransformationExtraArgs,
    grads: Any,
    filtered: Any,
    state: Any,
    params: Any,
    extra_args: dict[str, Any],
) -> tuple[Any, Any]:
    """Updates and state of the inner transformation, from filtered gradients.

    Args:
      inner: the transformation.
      grads: gradients before the filter; where the filter has None, the inner transformation gets
        these, so that what is not trained stays frozen.
      filtered: gradients after it.
      state: of the inner transformation.
      params: parameters, or None.
      extra_args: for the inner transformation.
    """
    leaves, treedef = flat(grads)
    pairs = zip(leaves, matching(treedef, filtered), strict=True)
    passed = jax.tree.unflatten(treedef, [g if f is None else f for g, f in pairs])
    updates, new = inner.update(passed, state, params, **extra_args)
    rows = zip(leaves, matching(treedef, params), matching(treedef, updates), strict=True)
    narrow = [u if u is None else as_before(g if p is None else p, u) for g, p, u in rows]
    return jax.tree.unflatten(treedef, narrow), jax.tree.map(as_before, state, new)
