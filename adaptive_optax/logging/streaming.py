"""Rows out of compiled programs: `stream` inside jit, scan and grad."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from adaptive_optax.core.checks import check_steps
from adaptive_optax.logging.background import background, warn_of_lost_rows
from adaptive_optax.logging.rows import check_names, checked_row
from adaptive_optax.logging.sink import Sink, members


def stream(
    step: Any,
    metrics: Mapping[str, Any],
    sink: Sink | Sequence[Sink],
    *,
    every: int = 1,
) -> None:
    """Send a row to a sink from inside jit, scan, while_loop, cond or grad; outside them too.

    The program only queues the row: a thread writes it, and a slow sink delays nothing. On other
    steps nothing leaves the device. Rows may arrive out of order; readers sort them by step. If the
    sink fails, training continues and one warning says so at the sink's next use. `sink.close()`
    waits for all rows; without it they may be missing at the end.

    On a mesh the values are those of the whole arrays, sent once. In shard_map the device at
    index 0 of each axis sends its own, so reduce them first, with jax.lax.pmean.

    Args:
      step: the training step, an integer of at least 0; may be traced.
      metrics: names and scalars; may be traced.
      sink: where the row goes; or several, as `Sinks`, a tuple or a list.
      every: steps from one row to the next, at least 1: those with step % every == 0 are sent.

    Raises:
      TypeError: for a step that is not an integer, metrics that are not scalars, or no sink.
      ValueError: for an option out of range, and under vmap, where one step has many values.

    >>> import jax, jax.numpy as jnp, tempfile
    >>> from adaptive_optax.logging.sinks import JSONL, read_log
    >>> path = tempfile.mkdtemp() + "/run.jsonl"
    >>> def body(loss, step):
    ...     stream(step, {"loss": loss}, sink, every=2)
    ...     return loss / 2, None
    >>> with JSONL(path) as sink:
    ...     _ = jax.lax.scan(body, jnp.float32(1.0), jnp.arange(5))
    >>> read_log(path)["loss"].values.tolist()
    [1.0, 0.25, 0.0625]
    """
    check_steps("stream", every=every)
    check_names("stream", metrics)
    sinks = members("stream", sink)
    if not any(isinstance(each, jax.core.Tracer) for each in (step, every, *metrics.values())):
        row = checked_row("stream", step, metrics)  # raises here, not on the thread
        for each in sinks:
            warn_of_lost_rows(each)
            if row[0] % every == 0:
                background(each).put(lambda: row)
        return
    step = _scalar("step", step)
    if not jnp.issubdtype(step.dtype, jnp.integer):
        raise TypeError(f"stream(step={step.dtype}): step must be an integer.")
    # One array per dtype, since each array that is sent costs as much as a whole row.
    by_dtype: dict[Any, dict[str, jax.Array]] = {}
    for name, value in {**{k: _scalar(k, v) for k, v in metrics.items()}, "step": step}.items():
        by_dtype.setdefault(value.dtype, {})[name] = value
    packed = [jnp.stack(list(group.values())) for group in by_dtype.values()]
    step, packed = _not_batched((step, packed))
    due = step % every == 0
    for axis in jax.sharding.get_abstract_mesh().manual_axes:
        due &= jax.lax.axis_index(axis) == 0
    send = functools.partial(_send, sinks, [list(group) for group in by_dtype.values()])
    jax.lax.cond(due, lambda: jax.debug.callback(send, packed), lambda: None)


def _send(sinks: Sequence[Sink], names: list[list[str]], packed: list[jax.Array]) -> None:
    """Queue a row: the callback neither waits nor raises; the sink's thread reads the arrays."""

    def read() -> tuple[Any, dict[str, Any]]:
        row: dict[str, Any] = {}
        for group, array in zip(names, packed, strict=True):
            row |= zip(group, np.asarray(array), strict=True)
        return row.pop("step"), row

    for sink in sinks:
        background(sink).put(read)


def _scalar(name: str, value: Any) -> jax.Array:
    """Return the value as an array without gradient, of shape ()."""
    array = jax.lax.stop_gradient(jnp.asarray(value))
    if array.ndim or jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ValueError(
            f"stream({name}={array.dtype} array of shape {array.shape}): a metric must be a real "
            f"scalar; take its mean, or give each entry a name."
        )
    return array.astype(jnp.int32) if array.dtype == bool else array


@custom_vmap
def _not_batched(values: Any) -> Any:
    """Refuse vmap, under which the callback would run for each row and at every step."""
    return values


@_not_batched.def_vmap
def _refuse(axis_size: int, in_batched: Any, values: Any) -> Any:
    raise ValueError(
        f"stream under vmap: {axis_size} rows for one step. Return the metrics from the vmapped "
        f'function and stream them outside, such as {{"loss/seed0": losses[0]}}, or loop with '
        f"jax.lax.map."
    )
