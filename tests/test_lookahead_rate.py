"""A learning rate that was set outlasts what Lookahead does to the inner state at a sync."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao


@pytest.mark.parametrize("at_sync", ["keep", "reset", "pullback"])
def test_a_set_rate_outlasts_syncs(at_sync):
    tx = ao.lookahead(ao.adam(0.5), every=2, at_sync=at_sync)
    params = jnp.ones(3)
    state = ao.set_learning_rate(tx.init(params), 0.125)
    for _ in range(5):
        updates, state = tx.update(params, state, params)
        params = optax.apply_updates(params, updates)
        assert float(ao.learning_rate_of(state)) == 0.125
    grads = jnp.ones(3)
    before = ao.set_learning_rate(state, None)
    slow, fast = (tx.update(grads, each, params)[0] for each in (state, before))
    assert np.all(np.abs(slow) < np.abs(fast))
