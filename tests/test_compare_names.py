import jax.numpy as jnp
import pytest

import adaptive_optax as ao
from adaptive_optax.comparison import names

WRAPPED = [f"{name}(momentum)" for name in names.WRAPPERS]


def test_default_is_the_subject_and_lookahead_over_each():
    assert len(names.DEFAULT) == 22
    assert len(set(names.DEFAULT)) == 22
    assert {names.parse(name).name for name in names.DEFAULT} == set(names.DEFAULT)


def test_every_optimizer_and_wrapper_has_a_name():
    public = {name for name in dir(ao) if hasattr(ao, f"scale_by_{name}")}
    assert public - set(names.OPTIMIZERS) == {"sophia"}
    assert set(names.WRAPPERS) == {"lookahead", "schedule_free", "averaged", "cautious"}


@pytest.mark.parametrize("name", dict.fromkeys([*names.DEFAULT, *names.OPTIMIZERS, *WRAPPED]))
def test_each_descends_from_its_centre(name):
    entry = names.parse(name)
    tx = entry.make(jnp.float32(entry.centre))
    params = jnp.array([1.0, -2.0])
    state = tx.init(params)
    for _ in range(10):
        updates, state = tx.update(params, state, params)
        params = params + updates
    assert float(jnp.sum(params**2)) < 5.0


def test_lookahead_nests():
    entry = names.parse(" lookahead( lookahead(radam) )")
    assert entry.name == "lookahead(lookahead(radam))"
    assert entry.centre == names.OPTIMIZERS["radam"].centre
    params = jnp.ones(2)
    state = entry.make(0.1).init(params)
    assert ao.eval_params(state, params).tolist() == [1.0, 1.0]
    assert names.family(entry.name) == "radam"


def test_a_joint_splits_the_members(monkeypatch):
    wrapper = names.Wrapper(lambda members: len(members), "->")
    monkeypatch.setitem(names.WRAPPERS, "switch", wrapper)
    entry = names.parse("switch(adam->lookahead(sgd))")
    assert entry.name == "switch(adam->lookahead(sgd))"
    assert entry.make(0.1) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adamm", r"unknown optimizer 'adamm'; did you mean 'adam'\?"),
        ("lokahead(adam)", r"unknown optimizer 'lokahead'; did you mean 'lookahead'\?"),
        ("lookahead(raddam)", r"unknown optimizer 'raddam'; did you mean 'radam'\?"),
        ("xyzzy", r"unknown optimizer 'xyzzy'; known are sgd, .*, lookahead, .*cautious\."),
        ("", r"unknown optimizer ''; known are"),
        ("sophia", "'sophia' needs estimates of the Hessian, which no task gives"),
        ("lookahead", "'lookahead' needs an optimizer inside"),
        ("adam(sgd)", "'adam' takes no optimizer inside"),
        ("lookahead(adam", "parentheses do not match"),
        ("lookahead(adam))", "parentheses do not match"),
        ("lookahead(adam)(sgd)", "parentheses do not match"),
    ],
)
def test_errors_say_the_way_out(text, message):
    with pytest.raises(ValueError, match=message):
        names.parse(text)


def test_entries_takes_text_lists_and_own():
    told = names.entries("adam, lookahead(sgd),adam")
    assert [e.name for e in told] == ["adam", "lookahead(sgd)"]
    assert [e.name for e in names.entries(["lion"])] == ["lion"]
    own = names.entries({"a": ao.sgd, "b": (ao.adam, 0.5)})
    assert [(e.name, e.centre) for e in own] == [("a", names.OWN_CENTRE), ("b", 0.5)]
    with pytest.raises(TypeError, match="must be a constructor"):
        names.entries({"a": 0.1})
    with pytest.raises(ValueError, match="centre of 'a'"):
        names.entries({"a": (ao.sgd, 0.0)})
    with pytest.raises(ValueError, match="at least one optimizer"):
        names.entries([])


def test_a_task_has_its_own_centres_by_name_then_family():
    wrapped = names.parse("lookahead(adam)")
    assert names.centre(wrapped, {}) == 1e-3
    assert names.centre(wrapped, {"adam": 0.1}) == 0.1
    assert names.centre(wrapped, {"adam": 0.1, "lookahead(adam)": 0.2}) == 0.2
