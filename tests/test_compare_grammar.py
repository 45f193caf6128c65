"""Expressions of several optimizers and with options, as `compare` reads them."""

import jax.numpy as jnp
import numpy as np
import pytest

import adaptive_optax as ao
from adaptive_optax.comparison import entries, grammar, optimizer_names
from adaptive_optax.introspection.structure import parts, structure
from adaptive_optax.learning_rate import schedules


def members(text: str, centres=None, rate=1.0) -> dict:
    """The members of an expression's outermost wrapper, taken apart."""
    return structure(grammar.parse(text, centres).make(rate)).members


def rates_of(text: str, centres=None, rate=1.0) -> dict[str, float]:
    """The members' learning rates."""
    found = members(text, centres, rate)
    return {name: part.options["learning_rate"] for name, part in found.items()}


def told(text: str, **options):
    """The options that the outermost wrapper was built with."""
    return structure(grammar.parse(text, **options).make(0.1)).options


def test_members_are_split_outside_of_parentheses():
    assert grammar.split("a,b(c,d(e,f)),g") == ["a", "b(c,d(e,f))", "g"]
    assert grammar.split("a->b(c->d)->e", "->") == ["a", "b(c->d)", "e"]
    assert list(members("switch(adam -> lookahead(sgd) -> lion)")) == [
        "adam",
        "lookahead(sgd)",
        "lion",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "blend(adam+lion)",
        "lookahead(blend(adam+lion))",
        "switch(adam->sgd->momentum)",
        "switch(lookahead(adam,every=3)->sgd,when=plateau)",
        "switch(adam->blend(lion+sgd,adapt=hedge),at=200)",
        "cautious(smoothed(switch(adam->sgd)))",
    ],
)
def test_expressions_nest_and_keep_their_name(text):
    entry = grammar.parse(text)
    assert entry.name == text
    found = [part.name for part in parts(structure(entry.make(0.1)))]
    wanted = [word for word in ("blend", "switch", "lookahead", "cautious") if word in text]
    assert set(wanted) <= set(found)


def test_the_same_member_twice_gets_a_number():
    assert set(members("blend(adam+adam+sgd+adam)")) == {"adam", "adam#2", "sgd", "adam#3"}


def test_members_keep_the_proportion_of_their_usual_rates():
    found = rates_of("blend(adam+lion+sgd)", rate=0.01)
    np.testing.assert_allclose(found["adam"], 0.01)
    np.testing.assert_allclose(found["lion"], 0.01 * 3e-4 / 1e-3)
    np.testing.assert_allclose(found["sgd"], 0.01 * 0.1 / 1e-3)


def test_the_proportion_is_that_of_the_task():
    centres = {"adam": 0.003, "lookahead(adam)": 0.02, "sgd": 0.5}
    assert rates_of("switch(adam->sgd)", centres, rate=0.003)["sgd"] == pytest.approx(0.5)
    inside = members("switch(lookahead(adam)->sgd)", centres, rate=0.02)
    assert inside["sgd"].options["learning_rate"] == pytest.approx(0.5)
    assert grammar.parse("switch(lookahead(adam)->sgd)", centres).centre == 0.02
    assert grammar.parse("cautious(blend(adam+lion))", centres).centre == 0.003
    named = {**centres, "blend(adam+lion)": 0.7}
    assert grammar.parse("blend(adam+lion)", named).centre == 0.7


def test_a_schedule_is_scaled_as_a_whole():
    falling = rates_of("blend(adam+sgd)", rate=schedules.step(0.1, 0.5, every=10))
    assert float(falling["adam"](0)) == pytest.approx(0.1)
    assert float(falling["sgd"](10)) == pytest.approx(5.0)


def test_a_mixture_has_the_grid_of_its_first_member():
    for text in ("blend(lion+adam)", "switch(lion->adam)", "lookahead(blend(lion+adam))"):
        assert grammar.parse(text).centre == grammar.parse("lion").centre


def test_options_are_numbers_words_and_several_numbers():
    found = told("lookahead(radam,every=10,step_size=0.8,at_sync=reset)")
    assert found == {"every": 10, "step_size": 0.8, "at_sync": "reset"}
    assert told("blend(adam+lion,normalize=false)")["normalize"] is False
    assert told("blend(adam+lion,normalize=True)")["normalize"] is True
    assert "step_size" not in told("hypergradient(adam,step_size=none)")
    params = jnp.ones(2)
    state = grammar.parse("blend(adam+lion,weights=0.7:0.3)").make(0.1).init(params)
    assert float(state.weights["adam"]) == pytest.approx(0.7)


def test_what_is_usual_gives_way_to_what_is_given():
    assert told("hypergradient(adam)")["mode"] == "multiplicative"
    assert told("hypergradient(adam,mode=additive)")["mode"] == "additive"
    assert told("multi_steps(adam)")["every"] == 2
    plateau = members("plateau(adam,patience=7)", rate=0.1)["1"].options
    assert (plateau["patience"], plateau["accumulation_size"]) == (7, grammar.STEPS // 20)
    assert told("switch(adam->sgd)", steps=300)["at"] == told("switch(adam->sgd,at=150)")["at"]
    thirds = told("switch(adam->sgd->lion)", steps=300)["at"]
    assert thirds == told("switch(adam->sgd->lion,at=100:200)")["at"]


def test_entries_know_the_task():
    (entry,) = entries.entries("switch(adam->sgd)", {"adam": 0.5}, steps=80)
    assert entry.centre == 0.5
    assert structure(entry.make(0.1)).options["at"] == told("switch(adam->sgd,at=40)")["at"]


def test_who_looks_back_is_told_by_what_is_inside():
    for text in ("variance_reduced(sgd)", "switch(adam->lookahead(variance_reduced(sgd)))"):
        assert optimizer_names.needs_previous(grammar.parse(text).make(0.1))
    for text in ("adam", "smoothed(sgd)", "blend(adam+lion)"):
        assert not optimizer_names.needs_previous(grammar.parse(text).make(0.1))
    assert optimizer_names.needs_previous(ao.variance_reduced(ao.sgd(0.1)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adam+lion", r"'adam\+lion': '\+' stands between the members of blend; write blend"),
        ("lookahead(adam->sgd)", r"'->' stands between .* switch; write switch\(adam->sgd\)\."),
        ("blend(adam->sgd)", r"write switch\(adam->sgd\)"),
        ("blend(adam,lion)", r"'lion' is no option; write name=value, and members .* by '\+'\."),
        ("lookahead(adam,5)", r"'lookahead\(adam,5\)': '5' is no option; write name=value\."),
        ("lookahead(adam,every=)", r"'every=' is no option"),
        ("lookahead(adam,evry=5)", r"lookahead has no option 'evry' here; did you mean 'every'\?"),
        ("lookahead(adam,xyz=5)", r"no option 'xyz' here; it has every, step_size, at_sync\."),
        ("cautious(adam,every=5)", r"cautious has no option 'every' here; it has none\."),
        ("hypergradient(adam,learning_rate=1)", r"no option 'learning_rate' here"),
        ("lookahead(adam,every=2,every=3)", r"every is given twice; leave one out\."),
        ("lookahead(adam,every=0)", r"'lookahead\(adam,every=0\)': lookahead\(every=0\): every"),
        ("sgd,lookahead(lookahead(adam,every=x))", r"'lookahead\(adam,every=x\)': lookahead"),
        ("blend(adam+lion,adapt=hedg)", r"adapt='hedg'\): .*; did you mean 'hedge'\?"),
        ("blend(adam+lion,weights=1)", r"compare: 'blend\(adam\+lion,weights=1\)': blend\(weights"),
        ("switch(adam->sgd,when=swat)", r"when='swat'\): .*; did you mean 'swats'\?"),
        ("blend", r"'blend' needs an optimizer inside; write blend\(adam\+lion\)\."),
        ("blend(adam+)", r"unknown optimizer ''"),
        ("blend(adam+lionn)", r"unknown optimizer 'lionn'; did you mean 'lion'\?"),
        ("blendd(adam+lion)", r"unknown optimizer 'blendd'; did you mean 'blend'\?"),
    ],
)
def test_errors_name_the_expression_and_the_way_out(text, message):
    with pytest.raises(ValueError, match=message):
        entries.entries(text)
