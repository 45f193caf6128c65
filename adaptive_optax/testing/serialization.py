"""Properties of serialization: states return from disk bit for bit, programs can be exported."""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import optax

from adaptive_optax.testing import trees
from adaptive_optax.testing.case import Case, promise
from adaptive_optax.testing.result import BrokenError, NotApplicableError

FIELDS = ("mu", "nu", "trace")  # the names that optax and its users know slots by
PLATFORMS = ("cpu", "cuda", "tpu")


@promise("lasting", "the state comes back bit for bit from flax's msgpack")
def msgpack(case: Case) -> None:
    """To bytes and back into the state of an optimizer built anew."""
    import flax.serialization

    state = _used(case)
    packed = flax.serialization.to_bytes(state)
    restored = flax.serialization.from_bytes(case.fresh().init(trees.params_of("bfloat16")), packed)
    _same(case, state, restored)


@promise("lasting", "the state comes back bit for bit from an orbax checkpoint")
def orbax(case: Case) -> None:
    """To a folder and back into the state of an optimizer built anew."""
    if importlib.util.find_spec("orbax") is None:
        raise NotApplicableError("orbax is missing; install it with: pip install orbax-checkpoint")
    import orbax.checkpoint as ocp

    state = _used(case)
    if not jax.tree.leaves(state):
        raise NotApplicableError("its state is empty, which orbax does not save")
    like = case.fresh().init(trees.params_of("bfloat16"))
    with tempfile.TemporaryDirectory() as folder, ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(Path(folder) / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(Path(folder) / "state", like)
    _same(case, state, restored)


@promise("lasting", "optax.tree.map_params finds each slot, optax.tree.get mu, nu and trace")
def state_by_name(case: Case) -> None:
    """`optax.tree.map_params` marks each slot of a parameter's shape; `tree.get` finds a field."""
    params = {"kernel": jnp.ones((8, 12)), "bias": jnp.ones(24)}
    state = case.tx.init(params)
    marked = optax.tree.map_params(
        case.tx, lambda x: True, state, transform_non_params=lambda x: False
    )
    shapes = {p.shape for p in params.values()}
    for (path, x), mark in zip(trees.paths(state), jax.tree.leaves(marked), strict=True):
        if trees.is_inexact(x) and jnp.shape(x) in shapes and not mark:
            raise BrokenError(f"optax.tree.map_params passes over state {path}")
    for field in FIELDS:
        if optax.tree.get_all_with_path(state, field):
            optax.tree.get(state, field)


@promise("targets", "jax.export lowers init and update for cpu, cuda and tpu")
def exports(case: Case) -> None:
    """Use bfloat16 parameters, on whatever machine this is."""
    params = trees.params_of("bfloat16")
    state = case.tx.init(params)
    for function, args in (
        (case.tx.init, (params,)),
        (case.tx.update, (params, state, params)),
    ):
        exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*args)
        if set(exported.platforms) != set(PLATFORMS):
            raise BrokenError(f"exports for {exported.platforms} only")


def _used(case: Case) -> Any:
    """Return the state after two updates."""
    params = trees.params_of("bfloat16")
    return trees.run(
        case.tx, params, [trees.grads_of(params, seed) for seed in range(2)], case.step
    )[1]


def _same(case: Case, state: Any, restored: Any) -> None:
    """Both states are equal now, and give the same update."""
    trees.unchanged(state, restored, "the restored state")
    params = trees.params_of("bfloat16")
    grads = trees.grads_of(params, 9)
    one, other = (case.step(grads, s, params)[0] for s in (state, restored))
    trees.unchanged(one, other, "the update after restoring")
