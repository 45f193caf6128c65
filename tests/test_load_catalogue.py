"""Every optimizer's state comes back by name, with leaves of all kinds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import CASES
from moving import assert_same

import adaptive_optax as ao

PARAMS = {
    "layers": [{"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}, {"kernel": None}],
    "scalar": jnp.ones(()),
    "integers": jnp.arange(3),
    "empty": jnp.zeros((0, 2)),
    "complex": jnp.ones(2, jnp.complex64),
    "narrow": jnp.ones(3, jnp.bfloat16),
}
OTHERS = {
    "adafactor": optax.adafactor(1e-3),
    "sm3": optax.sm3(1e-3),
    "lbfgs": optax.scale_by_lbfgs(),
    "prodigy": optax.contrib.prodigy(),
    "schedule_free": optax.contrib.schedule_free_adamw(1e-3),
    "noise": optax.noisy_sgd(1e-3, key=jax.random.key(1)),
    "every": optax.apply_every(3),
    "nans": optax.chain(optax.zero_nans(), optax.normalize_by_update_norm(), optax.adan(1e-3)),
}


def shaken(state):
    """A state of which no number is what it was at first."""
    draws = np.random.RandomState(0)

    def shake(x):
        if not hasattr(x, "dtype") or not jnp.issubdtype(x.dtype, jnp.inexact) or x.weak_type:
            return x
        return x + jnp.asarray(draws.rand(*x.shape), x.dtype)

    return jax.tree.map(shake, state)


def assert_comes_back(tx, params):
    state = shaken(tx.init(params))
    saved = {name: np.asarray(x) for name, x in ao.state_dict(state).items()}
    assert not [name for name in saved if "#" in name]
    assert_same(ao.load_state_dict(tx, params, saved), state)
    told = ao.checkpoint.compared(tx, params, saved)
    assert told[1:] == ((), (), ())


@pytest.mark.parametrize("row", CASES, ids=lambda row: row.id)
def test_ours(row):
    assert_comes_back(row.make(), PARAMS)


@pytest.mark.parametrize("name", OTHERS)
def test_optax(name):
    assert_comes_back(OTHERS[name], PARAMS["layers"][0])
