"""Contract 4, leaves: what is no array of floats is left alone, and any shape will do."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adaptive_optax.testing.evidence import BrokenError, close, during, finite, moved, unchanged
from adaptive_optax.testing.subject import Subject
from adaptive_optax.testing.trees import filled, grads_of, params_of, run

SHAPES = ((), (0,), (3, 0), (1, 1, 1, 1), (2, 1, 3))
# A turn costs each complex product some roundings of float32.
TURN = 1e-3


def none_leaves(subject: Subject) -> None:
    """None in parameters and gradients; then in the gradients alone, for a leaf that is frozen."""
    params = params_of()
    grads = [grads_of(params, seed) for seed in range(2)]
    with during("None in parameters and gradients"):
        after, _, history = run(
            subject.tx, {**params, "odd": None}, [{**g, "odd": None} for g in grads]
        )
        if after.pop("odd") is not None:
            raise BrokenError("the None became an array")
        plain = run(subject.tx, params, grads)[2]
        close([{**u, "odd": None} for u in plain], history, "update", ("without it", "beside it"))
    with during("a None gradient for a float parameter"):
        frozen = jnp.array([1.0, -2.0])
        after = run(subject.tx, {**params, "odd": frozen}, [{**g, "odd": None} for g in grads])[0]
        unchanged(frozen, after.pop("odd"), "the parameter")
        moved(params, after)


def integer_leaves(subject: Subject) -> None:
    """Their gradients are zeros of their own dtype; 99999999 is no float32."""
    odd = {"n": jnp.array([0, 7, 99999999]), "flag": jnp.array([True, False])}
    params = {**params_of(), **odd}
    grads = grads_of(params_of())
    zeros = jax.tree.map(jnp.zeros_like, odd)
    after, state, _ = run(subject.tx, params, [{**grads, **zeros}] * 2)
    unchanged(odd, {name: after.pop(name) for name in odd}, "the leaf")
    finite(state, "state")
    moved(params_of(), after)


def float0_gradients(subject: Subject) -> None:
    """What `jax.grad(..., allow_int=True)` gives for integers, eagerly and inside jit."""
    params: dict[str, Any] = {**params_of(), "n": jnp.array([0, 7, 99999999])}

    def loss(params):
        return sum(jnp.sum(p**2) for p in jax.tree.leaves(params) if p.dtype.kind == "f")

    def step(params, state):
        grads = jax.grad(loss, allow_int=True)(params)
        updates, state = subject.tx.update(grads, state, params)
        if updates["n"] is not None and updates["n"].dtype == jax.dtypes.float0:
            updates = {**updates, "n": None}  # jit returns no float0
        return optax.apply_updates(params, updates), state

    for how, one in (("eagerly", step), ("under jit", jax.jit(step))):
        with during(how):
            after, state = params, subject.tx.init(params)
            for _ in range(3):
                after, state = one(after, state)
            unchanged(params["n"], after["n"], "the leaf")
            moved(params["kernel"], after["kernel"])


def odd_shapes(subject: Subject) -> None:
    """Traces each alone, so that the evidence names it; then runs all in one program."""
    for shape in SHAPES:
        with during(f"a leaf of shape {shape}"):
            leaf = {"x": jnp.ones(shape)}
            jax.eval_shape(subject.tx.update, leaf, subject.tx.init(leaf), leaf)
    params = {str(shape): jnp.ones(shape) for shape in SHAPES}
    after, state, _ = run(subject.tx, params, [filled(params, 0.5)] * 3, jax.jit(subject.tx.update))
    finite(state, "state")
    moved(params, after)
    empty: Any
    for empty in ({}, (), {"a": {}}):
        with during(f"the empty tree {empty}"):
            updates, _ = subject.tx.update(empty, subject.tx.init(empty), empty)
            unchanged(empty, updates, "the update")


def complex_leaves(subject: Subject) -> None:
    """Turns all gradients by one phase, from zero: updates and parameters must turn with them."""
    phase = jnp.complex64(np.exp(0.7j))
    start = filled(params_of("complex64"), 0.0)
    gradients = [grads_of(start, seed) for seed in range(8)]

    def turned(tree):
        return jax.tree.map(lambda x: x * phase, tree)

    after, state, plain = run(subject.tx, start, gradients, subject.step)
    _, _, other = run(subject.tx, start, [turned(g) for g in gradients], subject.step)
    finite(state, "state")
    moved(start, after)
    names = ("for turned gradients", "when turned itself")
    for count, (one, two) in enumerate(zip(other, plain, strict=True)):
        with during(f"update {count + 1}"):
            close(one, turned(two), "update", names, TURN)
