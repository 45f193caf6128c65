"""Rows out of compiled programs: `stream` inside jit, scan and grad."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from adaptive_optax.core.checks import check_steps
from adaptive_optax.monitoring.background import background, tell
from adaptive_optax.monitoring.rows import check_names, checked_row
from adaptive_optax.monitoring.sink import Sink, members


def stream(
    step: Any,
    metrics: Mapping[str, Any],
    sink: Sink | Sequence[Sink],
    *,
    every: int = 1,
) -> None:
    """Sends a row to a sink from inside jit, scan, while_loop, cond or grad; outside them too.

    The program only queues the row: a thread writes it, and a slow sink holds nothing up. On other
    steps nothing leaves the device. Rows may arrive out of order; readers sort them by step. If the
    sink fails, training goes on and one warning tells of it at the sink's next use. `sink.close()`
    waits for all rows; without it they may be missing at the end.

    On a mesh the values are those of the whole arrays, sent once. In shard_map the device at
    index 0 of each axis sends its own, so reduce them first, with jax.lax.pmean.

    Args:
      step: the training step, an integer of at least 0; may be traced.
      metrics: names and scalars; may be traced.
      sink: where the row goes; or several, as `Sinks`, a tuple or a list.
      every: steps from one row to the next, at least 1: those with step % every == 0 are sent.

    Raises:
      TypeError: for a step that is no integer, metrics that are no scalars, or what is no sink.
      ValueError: for an option out of range, and under vmap, where one step has many values.

    >>> import jax, jax.numpy as jnp, tempfile
    >>> from adaptive_optax.monitoring.sinks import JSONL, read_log
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
        _send_from_host(step, metrics, sinks, every)
        return
    step = _scalar("step", step)
    if not jnp.issubdtype(step.dtype, jnp.integer):
        raise TypeError(f"stream(step={step.dtype}): step must be an integer.")
    names, packed = _packed({**{k: _scalar(k, v) for k, v in metrics.items()}, "step": step})
    step, packed = _not_batched((step, packed))
    due = step % every == 0
    for axis in jax.sharding.get_abstract_mesh().manual_axes:
        due &= jax.lax.axis_index(axis) == 0
    send = functools.partial(_send, sinks, names)
    jax.lax.cond(due, lambda: jax.debug.callback(send, packed), lambda: None)


def _send_from_host(step: Any, metrics: Any, sinks: Sequence[Sink], every: Any) -> None:
    """The same with values at hand; what is wrong with a row is raised here, not on the thread."""
    row = checked_row("stream", step, metrics)
    for sink in sinks:
        tell(sink)
        if row[0] % every == 0:
            background(sink).put(lambda: row)


def _send(sinks: Sequence[Sink], names: list[list[str]], packed: list[jax.Array]) -> None:
    """The callback: neither waits nor raises; the sink's thread reads the arrays."""
    for sink in sinks:
        background(sink).put(functools.partial(_unpacked, names, packed))


def _scalar(name: str, value: Any) -> jax.Array:
    """The value as an array without gradient, of shape ()."""
    array = jax.lax.stop_gradient(jnp.asarray(value))
    if array.ndim or jnp.issubdtype(array.dtype, jnp.complexfloating):
        what = f"{array.dtype} array of shape {array.shape}"
        raise ValueError(
            f"stream({name}={what}): a metric must be a real scalar; take its mean, or give each "
            f"entry a name."
        )
    return array.astype(jnp.int32) if array.dtype == bool else array


def _packed(values: Mapping[str, jax.Array]) -> tuple[list[list[str]], list[jax.Array]]:
    """One array a dtype, and the names of its entries: each array sent costs like a whole row."""
    names: dict[Any, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value.dtype, []).append(name)
    return list(names.values()), [
        jnp.stack([values[name] for name in group]) for group in names.values()
    ]


def _unpacked(
    names: Sequence[Sequence[str]], packed: Sequence[jax.Array]
) -> tuple[Any, dict[str, Any]]:
    """The step and the metrics, in the order that they were named in where dtypes are the same."""
    row = {
        name: value
        for group, array in zip(names, packed, strict=True)
        for name, value in zip(group, np.asarray(array), strict=True)
    }
    return row.pop("step"), row


@custom_vmap
def _not_batched(values: Any) -> Any:
    """The values; under vmap an error, for a callback would run for each and on every step."""
    return values


@_not_batched.def_vmap
def _refuse(axis_size: int, in_batched: Any, values: Any) -> Any:
    raise ValueError(
        f"stream under vmap: {axis_size} rows for one step. Return the metrics from the vmapped "
        f'function and stream them outside, such as {{"loss/seed0": losses[0]}}, or loop with '
        f"jax.lax.map."
    )
