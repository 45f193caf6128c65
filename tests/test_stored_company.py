"""Stored state in the places of `test_bars`, with their small leaves kept in few bytes too."""

import jax
import jax.numpy as jnp
import optax
import pytest
from problems import form
from test_bars import CONTEXTS, INNERS, tree_map_params, under_vmap

import adaptive_optax as ao
from adaptive_optax.storage import slot_plans

FORMATS = {
    "bfloat16": ao.bfloat16,
    "minifloat8": ao.minifloat8,
    "int8": lambda: ao.int8(block=2),
    "int4": lambda: ao.int4(block=2),
    "factored": ao.factored,
}
PLACES = [place for place in CONTEXTS if place not in (tree_map_params, under_vmap)]


@pytest.fixture(autouse=True)
def all_leaves(monkeypatch):
    monkeypatch.setattr(slot_plans, "SMALL", 1)


def cases():
    """Format, inner optimizer and place; slow but for optax.adam, each format in some places."""
    for i, name in enumerate(FORMATS):
        for inner in INNERS:
            for j, place in enumerate(PLACES):
                first = inner == "optax.adam" and (i + j) % 2 == 0
                marks = () if first else pytest.mark.slow
                yield pytest.param(name, inner, place, marks=marks)


@pytest.mark.parametrize(("name", "inner", "place"), list(cases()))
def test_it_works_there(name, inner, place):
    place(ao.stored(INNERS[inner](), FORMATS[name]()))


@pytest.mark.parametrize("name", FORMATS)
def test_map_params_finds_the_slots(name):
    params = {"kernel": jnp.ones((4, 6)), "bias": jnp.ones(6)}
    tx = ao.stored(optax.adam(0.1), FORMATS[name]())
    state = tx.init(params)
    marked = optax.tree_map_params(tx, lambda x: True, state, transform_non_params=lambda x: False)
    assert jax.tree.structure(marked) == jax.tree.structure(state)
    slots = [*jax.tree.leaves(marked.inner_state[0][1:]), *jax.tree.leaves(marked.scales)]
    assert slots
    assert all(slots)
    assert not marked.count
    assert not marked.layout


@pytest.mark.parametrize("name", FORMATS)
def test_seeds_side_by_side(name):
    """Under vmap each run is itself, with the same random bits."""
    tx = ao.stored(optax.adam(0.1), FORMATS[name]())
    params = jax.random.normal(jax.random.key(0), (2, 4, 6))
    grads = jax.random.normal(jax.random.key(1), (2, 4, 6))

    def step(p, g):
        return tx.update(g, tx.init(p), p)

    together = jax.vmap(step)(params, grads)
    alone = step(params[1], grads[1])
    assert form(jax.tree.map(lambda x: x[1], together)) == form(alone)
    same = jax.tree.map(lambda a, b: bool(jnp.all(a[1] == b)), together, alone)
    assert all(jax.tree.leaves(same))


@pytest.mark.parametrize(
    "inner",
    [
        lambda: optax.masked(optax.adam(0.1), {"kernel": True, "bias": False}),
        lambda: optax.partition(
            {"one": optax.adam(0.1), "two": ao.lion(0.1)}, {"kernel": "one", "bias": "two"}
        ),
        lambda: ao.muon(0.1),
        lambda: ao.lookahead(ao.adam(0.1)),
        lambda: optax.MultiSteps(optax.adam(0.1), 2),
        lambda: optax.inject_hyperparams(optax.adam)(0.1),
        lambda: ao.monitored(ao.adamw(0.1)),
        lambda: ao.blend({"a": ao.adam(0.1), "b": ao.lion(0.1)}),
    ],
    ids=["masked", "partition", "muon", "lookahead", "multi", "inject", "monitored", "blend"],
)
def test_around_what_has_others_inside(inner):
    tx = ao.stored(inner(), ao.minifloat8())
    params = {"kernel": jnp.ones((4, 6)), "bias": jnp.ones(6)}
    state = tx.init(params)
    before = form(state)
    for _ in range(4):
        updates, state = jax.jit(tx.update)(params, state, params)
    assert form(state) == before
    kinds = {x.dtype for x in jax.tree.leaves(state.inner_state)}
    assert kinds & {jnp.dtype(jnp.uint8), jnp.dtype(jnp.uint16)}
    assert bool(jnp.any(updates["kernel"] != 0))


def test_a_switch_hands_over_no_codes():
    members = {"a": ao.stored(ao.adam(0.1), ao.minifloat8()), "b": ao.adam(0.1)}
    for order in (members, dict(reversed(members.items()))):
        tx = ao.switch(order, at=[2])
        params = jnp.full((4, 6), 0.1)
        state = tx.init(params)
        for _ in range(4):
            updates, state = tx.update(params, state, params)
        assert bool(jnp.all(jnp.abs(updates) < 0.2))


def test_the_rate_is_read_and_set_through_it():
    tx = ao.stored(ao.adamw(0.1), ao.minifloat8())
    params = jnp.ones((4, 6))
    state = ao.set_learning_rate(tx.init(params), 0.5)
    updates, state = tx.update(params, state, params)
    assert float(ao.learning_rate_of(state)) == 0.5
    assert float(-updates[0, 0]) == pytest.approx(0.5 * 1.01, rel=0.02)
