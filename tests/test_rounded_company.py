"""Rounded parameters wherever an optimizer is put, and over whatever it is put."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from catalogue import every
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from problems import form
from test_bars import (
    CONTEXTS,
    INNERS,
    grads_at,
    in_nnx,
    run,
    serialized,
    tree_map_params,
    with_bfloat16,
)

import adaptive_optax as ao
from adaptive_optax.introspection.structure import structure
from adaptive_optax.storage import slot_plans

MODES = ("stochastic", "kahan", "master")


def cases():
    """All places and optimizers; what narrow parameters may change is not slow."""
    for place in CONTEXTS:
        for inner in INNERS:
            for mode in MODES:
                first = place in (with_bfloat16, in_nnx, serialized) and inner == "optax.adam"
                marks = () if first and mode == "kahan" else pytest.mark.slow
                yield pytest.param(mode, inner, place, marks=marks)


@pytest.mark.parametrize(("mode", "inner", "place"), list(cases()))
def test_it_works_there(mode, inner, place):
    place(ao.rounded(INNERS[inner](), mode))


def narrow_params():
    return {
        "kernel": jax.random.normal(jax.random.key(0), (4, 6), jnp.bfloat16),
        "half": jnp.full(3, 0.5, jnp.float16),
        "wide": jnp.ones(5),
        "phase": jnp.ones(2, jnp.complex64),
        "number": jnp.arange(3),
        "flag": jnp.array([True]),
        "empty": jnp.zeros((0, 2), jnp.bfloat16),
        "scalar": jnp.bfloat16(2.0),
        "none": None,
    }


def narrow_grads(params):
    def of(p):
        if not jnp.issubdtype(p.dtype, jnp.inexact):
            return np.zeros(p.shape, jax.dtypes.float0)
        return (p * 0.1).astype(p.dtype)

    return jax.tree.map(of, params)


@pytest.mark.parametrize("mode", MODES)
def test_odd_leaves_pass_and_wide_ones_are_the_inner_one_s_alone(mode):
    params = narrow_params()
    tx, plain = ao.rounded(ao.adam(1e-2), mode), ao.adam(1e-2)
    state, alone = tx.init(params), plain.init(params)
    kept = {"kahan": state.compensation, "master": state.master}.get(mode, {})
    held = {name for name in kept if kept[name] is not None}
    assert held == (set() if mode == "stochastic" else {"kernel", "half", "empty", "scalar"})
    assert {str(x.dtype) for x in jax.tree.leaves(state.inner_state)} <= {
        *("float32", "complex64", "int32", "bool")
    }
    before = form(state)
    for _ in range(3):
        grads = narrow_grads(params)
        with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
            updates, state = jax.jit(tx.update)(grads, state, params, value=1.0, unknown=2)
        expected, alone = plain.update(grads, alone, params)
        for name in ("wide", "phase"):
            np.testing.assert_array_equal(updates[name], expected[name])
        assert form({k: updates[k] for k in ("number", "flag")}) == form(
            {k: expected[k] for k in ("number", "flag")}
        )
        assert updates["none"] is None
        assert updates["kernel"].dtype == updates["half"].dtype == jnp.float32
        assert form(state) == before
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    assert form(tx.init(shapes)) == before == form(jax.eval_shape(tx.init, params))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "around",
    [
        lambda tx: optax.chain(optax.clip_by_global_norm(1.0), tx),
        lambda tx: optax.MultiSteps(tx, 1),
        lambda tx: optax.masked(tx, {"a": True, "b": True}),
        lambda tx: optax.partition({"one": tx}, {"a": "one", "b": "one"}),
        ao.monitored,
        lambda tx: ao.switch({"one": tx, "two": optax.sgd(0.1)}, at=[99]),
    ],
    ids=["chain", "MultiSteps", "masked", "partition", "monitored", "switch"],
)
def test_it_ends_on_the_same_numbers_inside(around, mode):
    params = {"a": jnp.full((3, 2), 3.0, jnp.bfloat16), "b": jnp.full(2, 0.7, jnp.bfloat16)}
    inner = ao.rounded(ao.adam(1e-3), mode)
    found, expected = run(around(inner), params, 9)[0], run(inner, params, 9)[0]
    step = (
        2.0**-7 if mode == "stochastic" else 0.0
    )  # of bf16: another program, 1 ulp, another throw
    wide = jax.tree.map(lambda x: np.asarray(x, float), (found, expected))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=step, atol=0), *wide)
    assert form(found) == form(params)


@pytest.mark.parametrize("mode", MODES)
def test_what_refuses_an_update_stands_inside(mode):
    """Outside, optax.apply_if_finite wants updates of the gradients' dtype."""
    tx = ao.rounded(optax.apply_if_finite(ao.adam(0.1), 3), mode)
    params = jnp.ones(3, jnp.bfloat16)
    state = tx.init(params)
    for bad, moves in ((False, True), (True, False), (False, True)):
        grads = jnp.full(3, jnp.nan if bad else 1.0, jnp.bfloat16)
        updates, state = jax.jit(tx.update)(grads, state, params)
        new = optax.apply_updates(params, updates)
        assert bool(jnp.all((new != params) == moves))
        params = new


@pytest.mark.parametrize("mode", MODES)
def test_over_stored_moments_and_what_has_others_inside(monkeypatch, mode):
    monkeypatch.setattr(slot_plans, "SMALL", 1)
    params = {"a": jnp.full((3, 2), 3.0, jnp.bfloat16), "b": jnp.full(2, 0.7, jnp.bfloat16)}
    for inner in (
        ao.stored(ao.adam(0.01), ao.minifloat8()),
        ao.lookahead(ao.adam(0.01), 2),
        ao.schedule_free(ao.adam(0.01)),
        ao.multi_steps(ao.adam(0.01), 2),
        optax.masked(optax.adam(0.01), {"a": True, "b": False}),
        ao.muon(0.01),
    ):
        after, state = run(ao.rounded(inner, mode), params, 20)
        assert form(after) == form(params)
        assert float(jnp.abs(after["a"] - params["a"]).max()) > 0.03
        kinds = {str(x.dtype) for x in jax.tree.leaves(state.inner_state)}
        assert not kinds & {"bfloat16", "float16"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", every(2, [AxisType.Explicit, AxisType.Auto]), ids=str)
def test_the_same_on_a_mesh(kind, mode):
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(kind, kind), devices=jax.devices()[:4])
    alone = {"w": jax.random.normal(jax.random.key(0), (8, 12), jnp.bfloat16)}
    tx = ao.rounded(ao.adam(1e-3), mode)

    def trained(params):
        state = jax.jit(tx.init)(params)
        for step in range(3):
            updates, state = jax.jit(tx.update)(grads_at(params, step), state, params)
            params = jax.jit(optax.apply_updates)(params, updates)
        return params, state

    for spec in (P("x", "y"), P(None, "y"), P(("x", "y"), None)):
        with jax.set_mesh(mesh):
            where = NamedSharding(mesh, spec)
            params, state = trained(jax.device_put(alone, where))
        for kept in (state.compensation, state.master):
            assert kept is None or kept["w"].sharding.is_equivalent_to(where, 2)
        np.testing.assert_array_equal(np.asarray(params["w"]), trained(alone)[0]["w"])


@pytest.mark.parametrize("mode", MODES)
def test_seeds_side_by_side(mode):
    tx = ao.rounded(optax.adam(0.01), mode)
    params = jax.random.normal(jax.random.key(0), (2, 4, 6), jnp.bfloat16)

    def step(p):
        return tx.update(p, tx.init(p), p)

    together, alone = jax.vmap(step)(params), step(params[1])
    assert form(jax.tree.map(lambda x: x[1], together)) == form(alone)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b), together, alone)


def test_the_rate_is_read_and_set_through_it():
    tx = ao.monitored(ao.rounded(ao.sgd(0.1), "kahan"))
    params = jnp.ones(4, jnp.bfloat16)
    state = ao.set_learning_rate(tx.init(params), 0.5)
    updates, state = tx.update(params, state, params)
    assert float(ao.learning_rate_of(state)) == 0.5
    assert updates.tolist() == [-0.5] * 4


def test_it_says_what_it_is():
    part = structure(ao.rounded(ao.sgd(0.5), "kahan"))
    assert (part.name, part.options) == ("rounded", {"mode": "kahan"})
    assert part.members["inner"].name == "sgd"


@pytest.mark.parametrize("mode", MODES)
def test_map_params_finds_what_is_kept(mode):
    tx = ao.rounded(optax.adam(0.1), mode)
    params = {"kernel": jnp.ones((4, 6), jnp.bfloat16), "bias": jnp.ones(6, jnp.bfloat16)}
    state = tx.init(params)
    marked = optax.tree_map_params(tx, lambda x: True, state, transform_non_params=lambda x: False)
    assert all(jax.tree.leaves((marked.compensation, marked.master, marked.inner_state[0].mu)))
    assert not marked.count
    tree_map_params(tx)


def test_what_is_refused():
    with pytest.raises(TypeError, match=r"^rounded\(inner=adam\): inner must be an optax "):
        ao.rounded(optax.adam, "kahan")
    with pytest.raises(ValueError, match=r"^rounded\(mode='stochastik'\): mode must be one of "):
        ao.rounded(optax.adam(0.1), "stochastik")
    params = {"w": jnp.ones(3, jnp.bfloat16)}
    for mode in MODES:
        tx = ao.rounded(optax.adam(0.1), mode)
        with pytest.raises(ValueError, match=r"^rounded\.update needs params for the numbers to"):
            tx.update(params, tx.init(params))
    with pytest.raises(ValueError, match=r"^rounded\.update: the state does not fit the param"):
        tx.update(params, tx.init({"v": params["w"]}), params)
    with pytest.raises(ValueError, match=r"^rounded\.update: the state does not fit the param"):
        tx.update(params, tx.init({"w": jnp.ones(3)}), params)
    with pytest.raises(ValueError, match=r"^rounded\.update: gradients and params differ in str"):
        tx.update({"v": params["w"]}, tx.init(params), params)
    eight = {"w": jnp.ones(3, ml_dtypes.float8_e4m3fn)}
    with pytest.raises(TypeError, match=r"^rounded\.init: at \['w'\] the parameter is float8_e4m3"):
        tx.init(eight)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_contract_holds(mode):
    """But that updates are steps from one narrow number to the next, in float32."""
    from adaptive_optax.testing import assert_contract

    without = ["update_dtype", "bfloat16_run", *(["wide_slots"] if mode == "kahan" else [])]
    assert_contract(lambda rate: ao.rounded(ao.adam(rate), mode), without=without)
