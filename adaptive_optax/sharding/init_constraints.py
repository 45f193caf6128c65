"""The shardings that an init gives its state itself, read from its program.

`partitioned`, and any other transformation that constrains what it makes, is obeyed in this way,
in whatever it is nested.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import NamedSharding, PartitionSpec


class Constraint(NamedTuple):
    """What is asked of one leaf."""

    entries: tuple[Any, ...]  # as of a spec; `UNCONSTRAINED` where nothing is asked
    mesh: Any


def made(init: Callable[[Any], Any], shapes: Any) -> tuple[Any, list[Constraint | None]]:
    """The shapes of a state, and the constraint on each of its leaves."""
    program, state = jax.make_jaxpr(init, return_shape=True)(shapes)
    return state, _constraints(program.jaxpr)


def _constraints(program: Any) -> list[Constraint | None]:
    source = {id(out): (step, i) for step in program.eqns for i, out in enumerate(step.outvars)}
    return [_of(*source[id(out)]) if id(out) in source else None for out in program.outvars]


def _of(step: Any, index: int) -> Constraint | None:
    """What the step that makes a leaf asks of it."""
    if step.primitive.name == "sharding_constraint":
        sharding = step.params["sharding"]
    elif step.primitive.name == "reshard":  # here None is no demand: the shapes had no shardings
        sharding = step.params["dst_sharding"]
        free = [PartitionSpec.UNCONSTRAINED if e is None else e for e in sharding.spec]
        mesh = step.params.get("concrete_mesh") or sharding.mesh
        return Constraint(_entries(free, step.outvars[index]), mesh)
    elif step.primitive.name in ("jit", "pjit"):
        return _constraints(step.params["jaxpr"].jaxpr)[index]
    else:
        return None
    if not isinstance(sharding, NamedSharding):
        return None
    return Constraint(_entries(sharding.spec, step.outvars[index]), sharding.mesh)


def _entries(spec: Any, out: Any) -> tuple[Any, ...]:
    return (*spec, *(None,) * (len(out.aval.shape) - len(spec)))
