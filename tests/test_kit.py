"""The published contract kit: what it says of optimizers that are sound, and how it is called."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax import testing
from adaptive_optax.testing import Report, Row, assert_contract, check_contract


def test_sgd_keeps_the_contract():
    """`test_contract.py` asks all others."""
    report = check_contract(ao.sgd)
    assert report.passed, report
    assert [row.property for row in report.rows] == list(testing.PROPERTIES)
    assert not [row.property for row in report.rows if row.verdict == "n/a"]


def test_optax_adam_keeps_what_it_keeps():
    """A record: what is here and gets better upstream is to be taken off."""
    report = check_contract(optax.adam)
    assert {row.property for row in report.failures} == {
        "fixed_point",
        "wide_slots",
        "update_dtype",
        "bfloat16_run",
        "huge_gradients",
        "after_huge",
        "tiny_gradients",
        "none_leaves",
        "integer_leaves",
        "float0_gradients",
        "traced_rate",
        "sharded_slots",
        "strict_settings",
    }
    assert report["huge_gradients"].evidence == (
        "float32, gradient 1e+20, update 1: state [0].nu['inner']['bias'] is inf"
    )
    assert report.summary == "optax.adam: 18 of 31"


def test_properties_have_promises():
    assert all(name.isidentifier() and promise for name, promise in testing.PROPERTIES.items())


def test_a_built_transformation_is_not_asked_for_other_rates():
    report = check_contract(
        optax.set_to_zero(), properties="descends, rate_zero, traced_rate, zero_gradients"
    )
    verdicts = {row.property: row.verdict for row in report.rows}
    assert verdicts == {
        "traced_rate": "n/a",
        "descends": "fail",
        "rate_zero": "n/a",
        "zero_gradients": "pass",
    }
    assert report["rate_zero"].evidence.startswith("takes no learning rate; give a constructor")
    assert report.name == "the transformation"


def rates_of(make_tx, **options):
    """The learning rates that the kit calls a constructor with; "own" for none."""
    seen = []

    @functools.wraps(make_tx)
    def make(*args, **kwargs):
        seen.append(next(iter([*args, *kwargs.values()]), "own"))
        return optax.sgd(0.1)

    check_contract(make, properties="wide_slots", **options)
    return seen


def test_how_a_constructor_is_called():
    assert rates_of(lambda learning_rate: None) == [0.01]
    assert rates_of(lambda rate, /, b=1: None) == [0.01]
    assert rates_of(lambda x, momentum=0.9: None) == [0.01]
    assert rates_of(lambda *args: None) == [0.01]
    assert rates_of(lambda b=1, *, learning_rate: None) == [0.01]
    assert rates_of(lambda learning_rate=1.0: None) == ["own"]
    assert rates_of(lambda learning_rate=None: None) == ["own"]
    assert rates_of(lambda momentum=0.9: None) == ["own"]
    assert rates_of(lambda: None) == ["own"]
    assert rates_of(lambda learning_rate=1.0: None, learning_rate=0.5) == [0.5]


def test_the_rate_of_the_constructor_is_what_descends():
    """A default that climbs is not made good by another rate."""
    climbing = check_contract(optax.adadelta, properties="descends")
    assert "leave" in climbing["descends"].evidence
    assert check_contract(ao.adadelta, properties="descends").passed
    assert check_contract(lambda rate: optax.sgd(rate / 50), properties="descends").passed


def test_properties_are_chosen():
    def names(**options):
        return [row.property for row in check_contract(ao.sgd, **options).rows]

    assert names(properties="rate_zero") == ["rate_zero"]
    assert names(properties="rate_zero, wide_slots") == ["wide_slots", "rate_zero"]
    assert names(properties=["rate_zero", "wide_slots"], without="wide_slots") == ["rate_zero"]
    some = {"wide_slots", "rate_zero"}
    assert names(without=set(testing.PROPERTIES) - some) == ["wide_slots", "rate_zero"]


@pytest.mark.parametrize("name", ["update_dtype", "extra_arguments"])
def test_a_property_a_test(name):
    """As a user's own test may go."""
    assert_contract(ao.lion, properties=name)


@pytest.mark.parametrize(
    ("kind", "call", "words"),
    [
        (
            ValueError,
            lambda: check_contract(ao.sgd, properties="fixedpoint"),
            r"^check_contract\(properties='fixedpoint'\): no property .* mean 'fixed_point'\?$",
        ),
        (
            ValueError,
            lambda: check_contract(ao.sgd, without=["speed"]),
            r"^check_contract\(without='speed'\): .*; ao\.testing\.PROPERTIES lists them\.$",
        ),
        (
            ValueError,
            lambda: check_contract(ao.sgd, properties="vmap", without="vmap"),
            r"^check_contract\(properties='vmap'\): no property is left to check\.$",
        ),
        (
            ValueError,
            lambda: check_contract(ao.sgd(0.1), learning_rate=0.1),
            r"^check_contract\(learning_rate=0\.1\): the transformation takes no learning rate;",
        ),
        (
            ValueError,
            lambda: check_contract(ao.sgd, learning_rate=-1.0),
            r"^check_contract\(learning_rate=-1\.0\): learning_rate must be finite and at least 0",
        ),
        (
            TypeError,
            lambda: check_contract(3),
            r"^check_contract\(make_tx=3\): make_tx must be a constructor, .* such as optax\.adam",
        ),
        (
            TypeError,
            lambda: check_contract(optax.cosine_decay_schedule),
            r"make_tx=optax\.cosine_decay_schedule\): calling it with .* raised TypeError: .*;",
        ),
        (
            TypeError,
            lambda: check_contract(lambda rate: {"rate": rate}),
            r"make_tx=the lambda\): it must give an optax transformation, and gave \{'rate': 0\.01",
        ),
        (
            TypeError,
            lambda: check_contract(optax.GradientTransformation),
            r"make_tx=optax\.GradientTransformation\): calling it with learning rate 0\.01 raised",
        ),
    ],
)
def test_misuse_is_told_at_once(kind, call, words):
    with pytest.raises(kind, match=words):
        call()


def test_assert_contract_shows_the_failures_only():
    with pytest.raises(AssertionError) as raised:
        assert_contract(
            optax.adam, properties="huge_gradients,extra_arguments,strict_settings", name="mine"
        )
    told = str(raised.value)
    assert told.startswith("mine: 1 of 3\n  huge_gradients   fail  float32, gradient 1e+20")
    assert "extra_arguments" not in told
    assert told.endswith("assert_contract(..., without=('huge_gradients', 'strict_settings')).")
    assert raised.value.__cause__ is not None
    assert_contract(optax.adam, properties="huge_gradients,vmap", without="huge_gradients")


def test_report():
    rows = (Row("vmap", "pass"), Row("orbax", "n/a", "why"), Row("descends", "fail", "a|b " * 40))
    report = Report("mine", rows)
    assert (report.passed, report.failures, report["orbax"]) == (False, rows[2:], rows[1])
    assert report.summary == "mine: 1 of 2, 1 n/a"
    lines = str(report).splitlines()
    assert lines[:3] == ["mine: 1 of 2, 1 n/a", "  vmap      pass", "  orbax     n/a   why"]
    assert all(len(line) <= 100 for line in lines)
    assert lines[4].startswith(" " * 18 + "a|b")
    assert "| `descends` | fail | a&#124;b a&#124;b" in report.markdown()
    with pytest.raises(KeyError, match="speed"):
        report["speed"]


def test_settings_are_left_as_they_were_and_do_not_matter():
    """Whatever the transformation sets or raises, and whatever the caller has set."""

    def make(rate):
        def update(grads, state, params=None, **extra_args):
            jax.config.update("jax_debug_infs", True)
            jax.config.update("jax_default_matmul_precision", "float32")
            raise RuntimeError("and leaves them\nso")

        return optax.GradientTransformationExtraArgs(lambda params: (), update)

    before = dict(jax.config.values)
    report = check_contract(make)
    assert dict(jax.config.values) == before
    assert report["extra_arguments"].evidence == "RuntimeError: and leaves them"
    passed = {row.property for row in report.rows if row.verdict == "pass"}
    assert passed == {"wide_slots", "abstract_init", "state_by_name"}  # no update there
    names = "fixed_point,bfloat16_run,tiny_gradients"
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        assert check_contract(ao.adam, properties=names).passed
        assert jax.config.jax_numpy_dtype_promotion == "strict"
    with jax.debug_nans(True):
        report = check_contract(optax.adam, properties=names)
        assert report["tiny_gradients"].evidence.endswith("update ['inner']['bias'] is nan")


@pytest.mark.slow
def test_with_double_precision_on():
    with jax.enable_x64(True):
        assert_contract(
            ao.adam, without={"train_state", "nnx_optimizer", "orbax", "optax_wrappers"}
        )
        assert jnp.ones(()).dtype == jnp.float64


def test_what_a_machine_lacks_counts_neither_way(monkeypatch):
    devices = jax.devices()
    monkeypatch.setattr(jax, "devices", lambda: devices[:1])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    report = check_contract(ao.adam, properties="sharded_slots,sharded_updates,orbax")
    assert report.passed
    assert {row.verdict for row in report.rows} == {"n/a"}
    assert "XLA_FLAGS=--xla_force_host_platform_device_count=8" in report.rows[0].evidence
    assert "pip install orbax-checkpoint" in report["orbax"].evidence
