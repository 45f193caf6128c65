"""The extra argument `previous_grads`: the batch's gradient at the parameters of the last step."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.leaves import is_trained


def previous_of(function: str, grads: Any, given: Any) -> Any:
    """What update was given as `previous_grads=`, as a tree of the structure of grads.

    Args:
      function: what errors call the function.
      grads: the gradients; a mask may have hidden leaves that `given` has.
      given: the previous gradients, or None.

    Raises:
      ValueError: where they are missing, or not shaped like grads.
    """
    if given is None:
        raise ValueError(
            f"{function}.update needs previous_grads=, the gradient of the same batch at the "
            f"parameters of the step before; call previous_grads = jax.grad(loss)(previous_params, "
            f"batch), then tx.update(grads, state, params, previous_grads=previous_grads). At the "
            f"first step give grads."
        )

    def fitting(path, g, before):
        if _is_hidden(g):
            return g
        g, before = _array(g), _array(before)
        if not is_trained(g) or _fits(g, before):
            return before
        place = jax.tree_util.keystr(path) or "the root"
        return _Misfit(f"at {place} it is {_words(before)} and the gradient is {_words(g)}")

    try:
        found = jax.tree_util.tree_map_with_path(fitting, grads, given, is_leaf=_is_hidden)
        words = [x.words for x in jax.tree.leaves(found) if isinstance(x, _Misfit)]
    except ValueError as error:
        words = [str(error)]
    if words:
        raise ValueError(
            f"{function}.update(previous_grads=...): previous_grads must be a tree like the "
            f"gradients, of the same shapes; take both of one loss: {words[0]}."
        )
    return found


class _Misfit:
    """Stands where a leaf does not fit."""

    def __init__(self, words: str):
        self.words = words


def _is_hidden(x: Any) -> bool:
    return x is None or isinstance(x, optax.MaskedNode)


def _array(x: Any) -> Any:
    return jnp.asarray(x) if isinstance(x, int | float | complex) else x


def _fits(g: Any, before: Any) -> bool:
    if not hasattr(before, "dtype") or not is_trained(before) or before.shape != g.shape:
        return False
    return jnp.iscomplexobj(g) or not jnp.iscomplexobj(before)


def _words(x: Any) -> str:
    return f"{x.dtype}{list(x.shape)}" if hasattr(x, "dtype") else repr(x)
