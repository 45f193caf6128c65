"""Contract 10, lasting: a state that comes back from disk bit for bit, and is found by name."""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.testing.evidence import BrokenError, NotApplicableError, unchanged
from adaptive_optax.testing.subject import Subject
from adaptive_optax.testing.trees import grads_of, is_inexact, params_of, run

FIELDS = ("mu", "nu", "trace")  # the names that optax and its users know slots by


def msgpack(subject: Subject) -> None:
    """To bytes and back into the state of an optimizer built anew."""
    import flax.serialization

    state = _used(subject)
    packed = flax.serialization.to_bytes(state)
    restored = flax.serialization.from_bytes(subject.fresh().init(_params()), packed)
    _same(subject, state, restored)


def orbax(subject: Subject) -> None:
    """To a folder and back into the state of an optimizer built anew."""
    if importlib.util.find_spec("orbax") is None:
        raise NotApplicableError("orbax is missing; install it with: pip install orbax-checkpoint")
    import orbax.checkpoint as ocp

    state = _used(subject)
    if not jax.tree.leaves(state):
        raise NotApplicableError("its state is empty, which orbax does not save")
    with tempfile.TemporaryDirectory() as folder, ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(Path(folder) / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(Path(folder) / "state", subject.fresh().init(_params()))
    _same(subject, state, restored)


def state_by_name(subject: Subject) -> None:
    """`optax.tree.map_params` marks each slot of a parameter's shape; `tree.get` finds a field."""
    params = {"kernel": jnp.ones((8, 12)), "bias": jnp.ones(24)}
    state = subject.tx.init(params)
    marked = optax.tree.map_params(
        subject.tx, lambda x: True, state, transform_non_params=lambda x: False
    )
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    shapes = {p.shape for p in params.values()}
    for (path, x), mark in zip(leaves, jax.tree.leaves(marked), strict=True):
        if is_inexact(x) and jnp.shape(x) in shapes and not mark:
            raise BrokenError(
                f"optax.tree.map_params passes over state {jax.tree_util.keystr(path)}"
            )
    for field in FIELDS:
        if optax.tree.get_all_with_path(state, field):
            optax.tree.get(state, field)


def _params() -> Any:
    return params_of("bfloat16")


def _used(subject: Subject) -> Any:
    """The state after two updates."""
    params = _params()
    return run(subject.tx, params, [grads_of(params, seed) for seed in range(2)], subject.step)[1]


def _same(subject: Subject, state: Any, restored: Any) -> None:
    """Equal now, and after one more update."""
    unchanged(state, restored, "the restored state")
    params = _params()
    grads = grads_of(params, 9)
    one, other = (subject.step(grads, s, params)[0] for s in (state, restored))
    unchanged(one, other, "the update after restoring")
