"""Stored: any optimizer with its moments in a quarter of the bytes.

    decode the state  ->  inner.update in float32  ->  encode the new state

The step is made of the new moments before they are rounded; only what is remembered is coarse. It
is rounded by chance (`noise.py`), since to the nearest a second moment would never decay. When to
use it: where memory is short; over any optimizer whose state `registry.py` knows, and in any
nesting. Arrays of less than 2^14 elements stay in float32: they save little and cost time.
"""

import functools
import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import beside, narrowed
from adaptive_optax.core.checks import check_state, check_transformation
from adaptive_optax.core.leaves import is_none, is_trained
from adaptive_optax.core.lifting import wide_view
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.storage.bfloat16 import bfloat16
from adaptive_optax.storage.factored import factored
from adaptive_optax.storage.format import Format
from adaptive_optax.storage.int4 import int4
from adaptive_optax.storage.int8 import int8
from adaptive_optax.storage.layout import read, text, written
from adaptive_optax.storage.minifloat8 import minifloat8
from adaptive_optax.storage.registry import slots_of, with_slots
from adaptive_optax.storage.slot_plans import Choice, decoded, encoded, lengths, plans_for

MAKERS = (bfloat16, minifloat8, int8, int4, factored)


class StoredState(NamedTuple):
    """The state of `stored`: plain arrays, slots shaped like the parameters."""

    count: Any  # updates done, int32, shape ()
    inner_state: Any  # the inner one's, with codes in its slots
    scales: Any  # one tree a slot: what a format keeps beside the codes, None where nothing
    layout: Any  # which format each leaf has, bytes of text, uint8, shape (bytes,)

    def decoded(self) -> Any:
        """The inner optimizer's state as it would be without `stored`, in float32."""
        return decoded(read(self.layout), self.inner_state, self.scales)

    def encoded(self, inner_state: Any) -> "StoredState":
        """An inner optimizer's plain state in the formats of this one, rounded to the nearest."""
        plans = read(self.layout)
        if (known := [len(plan.kinds) for plan in plans]) != (found := lengths(inner_state)):
            raise ValueError(
                f"StoredState.encoded(inner_state={type(inner_state).__name__}): inner_state must "
                f"be a plain state of the same optimizer, with {known} leaves in its slots, not "
                f"{found}; such as its init makes, or decoded() gives."
            )
        return StoredState(self.count, *encoded(plans, inner_state, None), self.layout)


@constructor
def stored(
    inner: optax.GradientTransformation,
    format: Format | Choice,  # noqa: A002, the field's word
) -> Transformation:
    """Any optimizer, with its moments kept in few bytes.

    Args:
      inner: any optax transformation. It computes in float32 whatever the parameters are, and its
        updates come back in the parameter's dtype.
      format: `bfloat16()`, `minifloat8()`, `int8()`, `int4()` or `factored()`; or a function that
        gives one of them, or None to leave it, for each leaf of a slot: `format(path, role, shape,
        dtype)`. path is that of the parameter, such as "layers/0/kernel"; role is "signed" for a
        mean of gradients and "non_negative" for one of squares; shape is that of the whole array,
        however it is sharded.

    Returns:
      A transformation with state `StoredState`. Compressed are the leaves of 2^14 elements and more
      of the slots that are known to forget, in all of optax and ours (`register_state` adds yours);
      not copies of parameters, sums without end, complex or 64-bit leaves. It forwards extra
      arguments.

    Raises:
      TypeError: where inner is no transformation, or format neither format nor function of one.

    >>> import adaptive_optax as ao, optax
    >>> params = {"kernel": jnp.zeros((128, 128)), "bias": jnp.zeros(128)}
    >>> tx = ao.stored(optax.adamw(1e-3), ao.bfloat16())
    >>> state = tx.init(params)
    >>> optax.tree.get(state, "nu")["kernel"].dtype, optax.tree.get(state, "nu")["bias"].dtype
    (dtype(bfloat16), dtype('float32'))
    >>> optax.tree.get(state.decoded(), "nu")["kernel"].dtype
    dtype('float32')
    """
    check_transformation(inner=inner)
    if any(format is maker for maker in MAKERS) or not (
        isinstance(format, Format) or callable(format)
    ):
        raise TypeError(
            f"stored(format={getattr(format, '__name__', repr(format))}): format must be a format, "
            f"such as ao.minifloat8(), called, or a function of (path, role, shape, dtype)."
        )
    if not isinstance(format, Format):
        _check_arguments(format)
    return Stored(optax.with_extra_args_support(inner), format).transformation()


class Stored(Body):
    """An optimizer with its moments kept in few bytes."""

    inner: optax.GradientTransformationExtraArgs
    format: Format | Choice

    encodes_state = True

    @functools.cached_property
    def plans_at(self) -> Any:
        """From the structure and the leaves' shapes of parameters to the plans of the slots."""

        @functools.lru_cache(maxsize=64)
        def plans(treedef: Any, leaves: Any) -> Any:
            shapes = treedef.unflatten([jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
            return plans_for(self.format, jax.eval_shape(self.inner.init, shapes))

        return plans

    def init(self, params: Any) -> StoredState:
        params = _wide(params)
        state = self.inner.init(params)
        plans = plans_for(self.format, state)
        count = jnp.zeros((), jnp.int32)
        first = with_slots(state, (_first(params, slot.tree) for slot in slots_of(state)))
        return StoredState(count, *encoded(plans, first, count), written(plans))

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, StoredState]:
        check_state("stored.update", StoredState, state)
        wide_grads, wide_params = _wide(grads), _wide(params)
        leaves, treedef = jax.tree.flatten(wide_grads if params is None else wide_params)
        plans = self.plans_at(treedef, tuple((jnp.shape(x), jnp.result_type(x)) for x in leaves))
        if len(text(plans)) != state.layout.shape[-1]:  # all that is known of it under jit
            raise ValueError(
                "stored.update: the state was stored in other formats, or is not of these "
                "parameters; give what this optimizer's init made, or bring the state over: "
                "tx.init(params).encoded(old_state.decoded())."
            )
        plain = decoded(plans, state.inner_state, state.scales)
        updates, plain = self.inner.update(wide_grads, plain, wide_params, **extra_args)
        count = optax.safe_increment(state.count)
        codes = encoded(plans, plain, count)
        updates = _narrow(updates, grads if params is None else params)
        return updates, StoredState(count, *codes, state.layout)


def _check_arguments(choice: Choice) -> None:
    """Raises unless a function can be called with what a format is chosen by."""
    try:
        inspect.signature(choice).bind("path", "role", (), "dtype")
    except TypeError as error:
        raise TypeError(
            f"stored(format={getattr(choice, '__name__', choice)!r}): a function must take (path, "
            f"role, shape, dtype) of a leaf: {error}."
        ) from error


def _first(params: Any, tree: Any) -> Any:
    """A slot before its first update, to be encoded.

    Its leaves are sharded like the parameters of the same path and shape, and barred from being
    folded with what encodes them, which costs XLA half a minute for a large array of zeros.
    """
    known = dict(jax.tree_util.tree_flatten_with_path(params)[0])

    def placed(path, x):
        if isinstance(x, jax.ShapeDtypeStruct):
            return jnp.zeros_like(x)
        p = known.get(path)
        if p is not None and isinstance(p, jax.core.Tracer) and p.shape == x.shape:
            x = beside(p, x)
        return jax.lax.optimization_barrier(x)

    return jax.tree_util.tree_map_with_path(placed, tree)


def _wide(tree: Any) -> Any:
    """Floats of a tree in the dtype to compute in, all else as it is."""

    def wide(x):
        return wide_view(x) if hasattr(x, "dtype") and is_trained(x) else x

    return jax.tree.map(wide, tree)


def _narrow(updates: Any, like: Any) -> Any:
    """Updates in the dtypes of the parameters."""

    def narrow(u, x):
        if u is None or not (hasattr(u, "dtype") and is_trained(u) and is_trained(x)):
            return u
        return narrowed(u, x.dtype)

    return jax.tree.map(narrow, updates, like, is_leaf=is_none)
