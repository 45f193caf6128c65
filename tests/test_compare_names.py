import jax.numpy as jnp
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax.comparison import entries

WRAPPED = [f"{name}(momentum)" for name in entries.WRAPPERS]


def test_default_is_the_subject_and_lookahead_over_each():
    assert len(set(entries.DEFAULT)) == len(entries.DEFAULT)
    assert {entries.parse(name).name for name in entries.DEFAULT} == set(entries.DEFAULT)


def test_every_optimizer_and_wrapper_has_a_name():
    public = {name for name in dir(ao) if hasattr(ao, f"scale_by_{name}")}
    assert public - set(entries.OPTIMIZERS) == {"sophia"}
    wrappers = {"lookahead", "schedule_free", "averaged", "cautious", "blend", "switch"}
    wrappers |= {"smoothed", "variance_reduced", "hypergradient", "plateau", "multi_steps"}
    assert set(entries.WRAPPERS) == wrappers


@pytest.mark.parametrize("name", dict.fromkeys([*entries.DEFAULT, *entries.OPTIMIZERS, *WRAPPED]))
def test_each_descends_from_its_centre(name):
    entry = entries.parse(name)
    tx = optax.with_extra_args_support(entry.make(jnp.float32(entry.centre)))
    params = before = jnp.array([1.0, -2.0])
    state = tx.init(params)
    for _ in range(10):
        value = jnp.sum(params**2) / 2
        updates, state = tx.update(params, state, params, value=value, previous_grads=before)
        params, before = params + updates, params
    assert float(jnp.sum(params**2)) < 5.0


def test_lookahead_nests():
    entry = entries.parse(" lookahead( lookahead(radam) )")
    assert entry.name == "lookahead(lookahead(radam))"
    assert entry.centre == entries.OPTIMIZERS["radam"].centre
    params = jnp.ones(2)
    state = entry.make(0.1).init(params)
    assert ao.eval_params(state, params).tolist() == [1.0, 1.0]
    assert entries.family(entry.name) == "radam"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adamm", r"unknown optimizer 'adamm'; did you mean 'adam'\?"),
        ("lokahead(adam)", r"unknown optimizer 'lokahead'; did you mean 'lookahead'\?"),
        ("lookahead(raddam)", r"unknown optimizer 'raddam'; did you mean 'radam'\?"),
        ("xyzzy", r"unknown optimizer 'xyzzy'; known are sgd, .*, lookahead, .*cautious.*\."),
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
        entries.parse(text)


def test_entries_takes_text_lists_and_own():
    told = entries.entries("adam, lookahead(sgd),adam")
    assert [e.name for e in told] == ["adam", "lookahead(sgd)"]
    assert [e.name for e in entries.entries(["lion"])] == ["lion"]
    own = entries.entries({"a": ao.sgd, "b": (ao.adam, 0.5)})
    assert [(e.name, e.centre) for e in own] == [("a", entries.OWN_CENTRE), ("b", 0.5)]
    with pytest.raises(TypeError, match="must be a constructor"):
        entries.entries({"a": 0.1})
    with pytest.raises(ValueError, match="centre of 'a'"):
        entries.entries({"a": (ao.sgd, 0.0)})
    with pytest.raises(ValueError, match="at least one optimizer"):
        entries.entries([])


def test_a_task_has_its_own_centres_by_name_then_family():
    def centre(**centres):
        return entries.parse("lookahead(adam)", centres).centre

    assert centre() == 1e-3
    assert centre(adam=0.1) == 0.1
    assert centre(adam=0.1, **{"lookahead(adam)": 0.2}) == 0.2
