"""Contract 8 and 11: strict settings of jax, and export to every platform."""

import jax
import jax.export
import jax.numpy as jnp
import pytest
from catalogue import FIRST, by_id, every
from problems import grads_of, params_of, run


@pytest.mark.parametrize("dtype", every(3, [jnp.float32, jnp.bfloat16, jnp.complex64]), ids=str)
@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_strict_promotion_no_rank_promotion_no_nans(row, dtype):
    """With traced hyperparameters too; warnings are errors in the whole suite."""
    params = params_of(dtype)
    gradients = [grads_of(params, seed) for seed in range(6)]
    zeros = jax.tree.map(jnp.zeros_like, params)
    with (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.debug_nans(True),
    ):
        run(row.make(lambda count: jnp.float32(row.rate)), params, [*gradients, zeros])
        for rate in (row.rate, jnp.float32(row.rate)):
            tx = row.make(rate)
            jax.eval_shape(tx.update, zeros, tx.init(params), params)
        jax.jit(tx.update)(zeros, tx.init(params), params)


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_exports_to_cpu_cuda_and_tpu(row):
    tx, params = row.make(), params_of(jnp.bfloat16)
    state = tx.init(params)
    platforms = ["cpu", "cuda", "tpu"]
    exported = jax.export.export(jax.jit(tx.update), platforms=platforms)(params, state, params)
    assert set(exported.platforms) == set(platforms)
    jax.export.export(jax.jit(tx.init), platforms=platforms)(params)
