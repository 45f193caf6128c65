"""Properties of leaves: what is not an array of floats is left alone, and any shape works."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adaptive_optax.testing import trees
from adaptive_optax.testing.case import Case, promise
from adaptive_optax.testing.result import BrokenError, during

SHAPES = ((), (0,), (3, 0), (1, 1, 1, 1), (2, 1, 3))
# A phase costs each complex product some roundings of float32.
TURN = 1e-3


@promise("leaves", "None is passed over: as a leaf, and as the gradient of a frozen one")
def none_leaves(case: Case) -> None:
    """None in parameters and gradients; then in the gradients alone, for a leaf that is frozen."""
    params = trees.params_of()
    grads = [trees.grads_of(params, seed) for seed in range(2)]
    without = [{**g, "odd": None} for g in grads]
    with during("None in parameters and gradients"):
        after, _, history = trees.run(case.tx, {**params, "odd": None}, without)
        if after.pop("odd") is not None:
            raise BrokenError("the None became an array")
        plain = trees.run(case.tx, params, grads)[2]
        trees.close(
            [{**u, "odd": None} for u in plain], history, "update", ("without it", "beside it")
        )
    with during("a None gradient for a float parameter"):
        frozen = jnp.array([1.0, -2.0])
        after = trees.run(case.tx, {**params, "odd": frozen}, without)[0]
        trees.unchanged(frozen, after.pop("odd"), "the parameter")
        trees.moved(params, after)


@promise("leaves", "integer and bool leaves with zero gradients keep their values")
def integer_leaves(case: Case) -> None:
    """The gradients are zeros of the leaf's own dtype; float32 cannot hold 99999999."""
    odd = {"n": jnp.array([0, 7, 99999999]), "flag": jnp.array([True, False])}
    grads = {**trees.grads_of(trees.params_of()), **jax.tree.map(jnp.zeros_like, odd)}
    after, state, _ = trees.run(case.tx, {**trees.params_of(), **odd}, [grads] * 2)
    trees.unchanged(odd, {name: after.pop(name) for name in odd}, "the leaf")
    trees.finite(state, "state")
    trees.moved(trees.params_of(), after)


@promise("leaves", "float0, jax's gradient of an integer, leaves it as it is")
def float0_gradients(case: Case) -> None:
    """Use what `jax.grad(..., allow_int=True)` gives for integers, eagerly and inside jit."""
    params: dict[str, Any] = {**trees.params_of(), "n": jnp.array([0, 7, 99999999])}

    def loss(params):
        return sum(jnp.sum(p**2) for p in jax.tree.leaves(params) if p.dtype.kind == "f")

    def step(params, state):
        grads = jax.grad(loss, allow_int=True)(params)
        updates, state = case.tx.update(grads, state, params)
        if updates["n"] is not None and updates["n"].dtype == jax.dtypes.float0:
            updates = {**updates, "n": None}  # jit returns no float0
        return optax.apply_updates(params, updates), state

    for how, one in (("eagerly", step), ("under jit", jax.jit(step))):
        with during(how):
            after, state = params, case.tx.init(params)
            for _ in range(3):
                after, state = one(after, state)
            trees.unchanged(params["n"], after["n"], "the leaf")
            trees.moved(params["kernel"], after["kernel"])


@promise("leaves", "leaves without axes or without elements, and empty trees, work")
def odd_shapes(case: Case) -> None:
    """Trace each shape alone, so that the evidence names it; then run all in one program."""
    for shape in SHAPES:
        with during(f"a leaf of shape {shape}"):
            leaf = {"x": jnp.ones(shape)}
            jax.eval_shape(case.tx.update, leaf, case.tx.init(leaf), leaf)
    params = {str(shape): jnp.ones(shape) for shape in SHAPES}
    after, state, _ = trees.run(case.tx, params, [trees.filled(params, 0.5)] * 3, case.step)
    trees.finite(state, "state")
    trees.moved(params, after)
    empty: Any
    for empty in ({}, (), {"a": {}}):
        with during(f"the empty tree {empty}"):
            updates, _ = case.tx.update(empty, case.tx.init(empty), empty)
            trees.unchanged(empty, updates, "the update")


@promise("leaves", "turning complex parameters and gradients turns their updates")
def complex_leaves(case: Case) -> None:
    """Turn all gradients by one phase, from zero: updates and parameters must turn with them."""
    phase = jnp.complex64(np.exp(0.7j))
    start = trees.filled(trees.params_of("complex64"), 0.0)
    gradients = [trees.grads_of(start, seed) for seed in range(8)]

    def turned(tree):
        return jax.tree.map(lambda x: x * phase, tree)

    after, state, plain = trees.run(case.tx, start, gradients, case.step)
    _, _, other = trees.run(case.tx, start, [turned(g) for g in gradients], case.step)
    trees.finite(state, "state")
    trees.moved(start, after)
    names = ("for turned gradients", "when turned itself")
    for count, (one, two) in enumerate(zip(other, plain, strict=True)):
        with during(f"update {count + 1}"):
            trees.close(one, turned(two), "update", names, TURN)
