"""Optimizers that go on with the state of another one, and how their updates compare."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

PARAMS = {"dense": {"kernel": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)}}
PARAMS["dense"]["bias"] = np.array([0.5, -0.25, 2.0], np.float32)
STEPS = 4  # that are done before an edit


def fresh(params=PARAMS):
    """Arrays of jax of their own."""
    return jax.tree.map(jnp.array, params)


def grads_at(params, step):
    draws = np.random.RandomState(step)
    return jax.tree.map(lambda p: jnp.asarray(draws.randn(*p.shape), p.dtype), params)


def run(tx, state, params, steps):
    """The updates at these steps, the state and the parameters after them.

    Not under jit, where the same operations round otherwise when others stand beside them.
    """
    updates = []
    for step in steps:
        u, state = tx.update(grads_at(params, step), state, params)
        params = optax.apply_updates(params, u)
        updates.append(u)
    return updates, state, params


def used(tx, params=PARAMS, steps=STEPS):
    """The state and the parameters after some steps."""
    params = fresh(params)
    return run(tx, tx.init(params), params, range(steps))[1:]


def bits(x):
    if not hasattr(x, "dtype"):
        return type(x), x
    weak = getattr(x, "weak_type", None)
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    return x.dtype, x.shape, weak, np.asarray(x).tobytes()


def assert_same(one, other):
    """Trees of one structure, equal bit for bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    pairs = jax.tree_util.tree_flatten_with_path(one)[0]
    for (path, a), b in zip(pairs, jax.tree.leaves(other), strict=True):
        assert bits(a) == bits(b), jax.tree_util.keystr(path)


def in_a_file(saved, folder):
    """What numpy.savez makes of it, read without pickle."""
    np.savez(folder / "saved.npz", **saved)
    with np.load(folder / "saved.npz", allow_pickle=False) as file:
        return dict(file)
