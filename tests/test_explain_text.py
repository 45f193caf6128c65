"""How `explain` lays out its tree, and what it says of a first learning rate of 0."""

import jax.numpy as jnp
import optax
import pytest

import adaptive_optax as ao

PARAMS = {"a": jnp.ones(2), "b": jnp.ones(2)}
WARM = optax.linear_schedule(0.0, 1e-3, 10)


@pytest.fixture
def told(capsys):
    """The lines that `explain` gives, and prints."""

    def lines(tx, params=None):
        text = ao.explain(tx, params)
        assert capsys.readouterr().out == f"{text}\n"
        return text.split("\n")

    return lines


def tree(lines):
    return lines[: lines.index("")]


def test_long_lines_hang_under_their_part(told):
    tx = ao.lookahead(optax.chain(optax.chain(ao.reduce_on_plateau()), optax.adam(1e-3)))
    found = tree(told(tx))
    assert found[:5] == [
        "ao.lookahead(every=5, step_size=0.5, at_sync='keep')",
        "└─ chain",
        "   ├─ chain",
        "   │  └─ ao.reduce_on_plateau(factor=0.1, patience=10, rtol=0.0001, mode='min',",
        "   │         accumulation_size=1, increase=1.0, max_scale=1.0, on_nan='skip')",
    ]
    assert found[5] == "   └─ chain"
    assert all(len(line) <= 96 for line in found)


def test_the_bar_of_a_long_parts_members_goes_on(told):
    mask = {f"layer_{i}": i % 2 == 0 for i in range(12)}
    first, *rest, inner = tree(told(optax.masked(optax.clip(1.0), mask)))
    assert first.startswith("optax.masked(mask={'layer_0': True, ")
    assert rest
    assert all(line.startswith("│   ") for line in rest)
    assert inner == "└─ optax.clip(max_delta=1.0)"
    assert " ".join([first, *(line[4:] for line in rest)]) == f"optax.masked(mask={mask})"


def test_a_label_and_what_cannot_be_broken_stay_whole(told):
    name = "x" * 120
    labels = {"a": name, "b": "rest"}
    found = tree(told(optax.partition({name: optax.identity(), "rest": ao.adam(1e-3)}, labels)))
    assert f"├─ {name}:" in found
    assert "│      optax.identity()" in found


def test_no_depth_is_too_deep(told):
    tx = ao.reduce_on_plateau()
    for _ in range(40):
        tx = optax.chain(tx, optax.identity())
    found = tree(told(tx))
    bars = "│  " * 40
    assert any(line.startswith(f"{bars[:-3]}├─ ao.reduce_on_plateau(factor=0.1,") for line in found)
    assert all(len(line) <= 3 * 40 + 32 for line in found)


@pytest.mark.parametrize(
    "tx",
    [
        ao.adam(WARM),
        optax.adam(WARM),
        optax.inject_hyperparams(optax.adam)(learning_rate=WARM),
        ao.adam(ao.schedules.cosine(1e-3, 100).warmed_up(10)),
        ao.lookahead(ao.adamw(WARM, weight_decay=0.1)),
    ],
)
def test_a_first_rate_of_0_by_a_schedule(tx, told):
    assert "first learning rate 0 (a schedule starts there)" in told(tx, PARAMS)


@pytest.mark.parametrize(
    ("tx", "words"),
    [
        (ao.sgd(0.0), "first learning rate 0"),
        (
            optax.chain(ao.sgd(optax.constant_schedule(0.1)), optax.scale(0.0)),
            "first learning rate 0",
        ),
        (ao.sgd(optax.linear_schedule(0.1, 0.0, 10)), "first learning rate 0.1"),
        (ao.adamw(0.1, weight_decay=lambda count: 0.0 * count), "first learning rate 0.1"),
    ],
)
def test_other_first_rates(tx, words, told):
    assert words in told(tx, PARAMS)


def test_the_rates_of_leaves_one_of_which_warms_up(told):
    labels = {"a": "warm", "b": "flat"}
    found = told(optax.partition({"warm": ao.adam(WARM), "flat": ao.sgd(0.1)}, labels), PARAMS)
    at = found.index("first learning rates (a schedule starts at 0)")
    assert found[at + 1 : at + 3] == ["  a: 0", "  b: 0.1"]
    found = told(optax.partition({"warm": ao.adam(0.0), "flat": ao.sgd(0.1)}, labels), PARAMS)
    assert "first learning rates" in found
