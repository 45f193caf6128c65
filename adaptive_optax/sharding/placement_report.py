"""`report`: what parameters, state and updates take on each device, and what is on all of them."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import PartitionSpec

from adaptive_optax.core.checks import check_arrays, check_transformation
from adaptive_optax.sharding.param_specs import names_of
from adaptive_optax.sharding.replication_reason import reasons
from adaptive_optax.sharding.slot_axes import shapes_of
from adaptive_optax.sharding.state_shardings import Layout, laid_out, sizes_of

KINDS = ("parameters", "state", "updates")


class Row(NamedTuple):
    """Arrays of one kind that lie alike."""

    kind: str  # "parameters", "state" or "updates"
    what: str  # the slot's path in the state; empty for parameters and updates
    arrays: int
    bytes: int  # of the whole arrays
    bytes_a_device: int
    specs: tuple[str, ...]  # the different ones
    why: str  # they lie whole on each device; empty where they are spread


class Report(NamedTuple):
    """What is where; prints as a table."""

    devices: int
    rows: tuple[Row, ...]

    def bytes_a_device(self, kind: str | None = None) -> int:
        """Of "parameters", "state" or "updates", or of all three."""
        return sum(row.bytes_a_device for row in self.rows if kind in (None, row.kind))

    def __str__(self) -> str:
        lines = [f"{'':34}{'arrays':>7}{'whole':>11}{'a device':>11}  ({self.devices} devices)"]
        for kind in KINDS:
            rows = [row for row in self.rows if row.kind == kind]
            arrays, whole = sum(row.arrays for row in rows), sum(row.bytes for row in rows)
            lines.append(_line(kind, arrays, whole, self.bytes_a_device(kind), ""))
            for row in rows:
                where = f"whole: {row.why}" if row.why else ", ".join(_few(row.specs))
                name = f"  {row.what or '-'}"
                lines.append(_line(name, row.arrays, row.bytes, row.bytes_a_device, where))
        return "\n".join(line.rstrip() for line in lines)


def report(tx: optax.GradientTransformation, params: Any, specs: Any = None) -> Report:
    """What an optimizer takes on each device, before anything is allocated.

    Args:
      tx: any optax transformation.
      params: parameters, or their shapes, as of `state_shardings`.
      specs: as of `state_shardings`; names alone need a mesh, `jax.set_mesh`.

    Returns:
      A `Report`: `print` shows it, `rows` has its numbers, and `bytes_a_device("state")` their sum.
      The state is where `state_shardings` says; updates are where the parameters are.

    Raises:
      TypeError: where tx is no transformation, or params no arrays.
      ValueError: where nothing tells where the parameters lie, or no mesh how many devices.

    >>> import adaptive_optax as ao
    >>> mesh = jax.make_mesh((1,), ("data",))
    >>> params = {"kernel": jax.ShapeDtypeStruct((256, 64), jnp.float32), "bias": jnp.zeros(64)}
    >>> where = jax.sharding.NamedSharding(mesh, PartitionSpec("data"))
    >>> found = ao.sharding.report(ao.adafactor(1e-2), params, where)
    >>> [found.bytes_a_device(kind) for kind in ("parameters", "state", "updates")]
    [65792, 1545, 65792]
    """
    check_transformation("report", tx=tx)
    check_arrays("report", params=params)
    layout = laid_out("report", tx, params, specs)
    sizes = _sizes(layout)
    shapes = shapes_of(params)
    whys = reasons(tx, layout, sizes)
    found: dict[tuple[str, str, str], list[tuple[int, int, str]]] = {}

    def add(kind, what, leaf, spec, why):
        count = math.prod(sizes.get(name, 1) for entry in spec for name in names_of(entry))
        size = _bytes(leaf)
        found.setdefault((kind, what, why), []).append((size, -(-size // count), str(spec)))

    for leaf, place, why in zip(jax.tree.leaves(shapes), layout.places, whys.params, strict=True):
        add("parameters", "", leaf, PartitionSpec(*place.entries), why)
    names = _slots(layout, shapes)
    leaves = jax.tree.leaves(layout.state)
    for name, leaf, sharding, why in zip(names, leaves, layout.shardings, whys.state, strict=True):
        add("state", name, leaf, _spec(sharding), why)
    for leaf, place, why in zip(_updates(tx, shapes), layout.places, whys.params, strict=True):
        add("updates", "", leaf, PartitionSpec(*place.entries), why)
    return Report(math.prod(sizes.values()), tuple(_row(*key, rows) for key, rows in found.items()))


def _sizes(layout: Layout) -> dict[str, int]:
    sizes = sizes_of(layout.mesh)
    specs = [_spec(each) for each in layout.shardings]
    specs += [PartitionSpec(*place.entries) for place in layout.places]
    names = {name for spec in specs for entry in spec for name in names_of(entry)}
    if not names <= set(sizes):
        raise ValueError(
            f"report(specs=...): the mesh axes {sorted(names)} are of no mesh that is known; give "
            f"NamedShardings, or set one by jax.set_mesh."
        )
    return sizes


def _spec(sharding: Any) -> PartitionSpec:
    """The spec of a sharding; of one device, that of no axis."""
    if isinstance(sharding, PartitionSpec):
        return sharding
    return getattr(sharding, "spec", PartitionSpec())


def _slots(layout: Layout, shapes: Any) -> list[str]:
    """What each leaf of the state is called: its path without that of its parameter."""
    params = [path for path, _ in jax.tree_util.tree_flatten_with_path(shapes)[0]]
    names = []
    leaves = jax.tree_util.tree_flatten_with_path(layout.state)[0]
    for (path, _), origin in zip(leaves, layout.origins, strict=True):
        if origin.parameter is not None:
            own = params[origin.parameter]
            starts = range(len(path) - len(own), -1, -1)
            start = next(i for i in starts if path[i : i + len(own)] == own)
            path = path[:start] + path[start + len(own) :]
        names.append(jax.tree_util.keystr(path, simple=True, separator="/"))
    return names


def _updates(tx: optax.GradientTransformation, shapes: Any) -> Iterable[Any]:
    """The shapes of the updates; those of parameters where the update asks for more than these."""
    update = optax.with_extra_args_support(tx).update
    try:
        updates = jax.eval_shape(lambda p: update(p, tx.init(p), p)[0], shapes)
    except Exception:  # such as one that asks for the loss
        return jax.tree.leaves(shapes)
    found = jax.tree.leaves(updates)
    return found if len(found) == len(jax.tree.leaves(shapes)) else jax.tree.leaves(shapes)


def _row(kind: str, what: str, why: str, rows: list[tuple[int, int, str]]) -> Row:
    whole, parts, specs = zip(*rows, strict=True)
    return Row(kind, what, len(rows), sum(whole), sum(parts), tuple(dict.fromkeys(specs)), why)


def _bytes(leaf: Any) -> int:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return int(jax.eval_shape(jax.random.key_data, leaf).nbytes)
    return math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize


def _few(specs: tuple[str, ...]) -> tuple[str, ...]:
    return specs if len(specs) <= 3 else (*specs[:3], "...")


def _line(name: str, arrays: int, whole: int, part: int, where: str) -> str:
    return f"{name:34}{arrays:7d}{_size(whole):>11}{_size(part):>11}  {where}"


def _size(count: float) -> str:
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return f"{count:.{0 if units[0] == 'B' else 1}f} {units[0]}"
