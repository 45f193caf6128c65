"""Every option that is refused, by its message; what is traced passes."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from error_options import FRACTION, NON_NEGATIVE, OPTIONS, POSITIVE, RATE, STEPS

import adaptive_optax as ao

BELOW, HUGE, NAN = (-0.1, math.inf, math.nan)
REFUSED = {  # by kind, values that are refused
    FRACTION: (BELOW, 1.0, 1, 2.5, NAN, np.float32(1.0)),
    NON_NEGATIVE: (BELOW, HUGE, NAN, np.float64(-1)),
    POSITIVE: (0, 0.0, BELOW, HUGE, NAN),
    RATE: (BELOW, -1, HUGE, NAN),
}
NUMBER = "must be a number or a scalar array."
SCALAR = "must be a scalar; to try several values use jax.vmap."
NUMBERS = [(name, option, rule) for name, row in OPTIONS.items() for option, rule in row.items()]


OPTIMIZERS = [name for name in OPTIONS if hasattr(ao, f"scale_by_{name}")]


def test_every_number_of_every_optimizer_is_here():
    assert set(OPTIMIZERS) == {name for name in dir(ao) if hasattr(ao, f"scale_by_{name}")}
    for name in OPTIMIZERS:
        parameters = inspect.signature(getattr(ao, name)).parameters.values()
        numbers = {
            p.name
            for p in parameters
            if isinstance(p.default, int | float) and not isinstance(p.default, bool)
        }
        assert numbers <= {*OPTIONS[name], *STEPS.get(name, ())}, name


def build(name: str, **options):
    """The transformation, with a learning rate where it takes one and none is given."""
    if name in OPTIMIZERS:
        options = {"learning_rate": 0.1, **options}
    return getattr(ao, name)(**options)


def message(error: pytest.ExceptionInfo, option: str) -> str:
    """What the error says, but for the head `name(option=value): option `."""
    head, _, rule = str(error.value).partition(f"): {option} ")
    assert f"({option}=" in head
    return rule


@pytest.mark.parametrize(("name", "option", "rule"), NUMBERS)
def test_numbers_out_of_range(name, option, rule):
    for value in REFUSED[rule]:
        with pytest.raises(ValueError, match=rf"\({option}={value}\): {option} must") as error:
            build(name, **{option: value})
        assert message(error, option) == rule


@pytest.mark.parametrize(("name", "option", "rule"), NUMBERS)
def test_numbers_of_the_wrong_kind(name, option, rule):
    for value in ("0.5", True, 1j, [0.5]):
        with pytest.raises(TypeError, match=rf"\({option}=") as error:
            build(name, **{option: value})
        assert message(error, option) == NUMBER
    for array in (jnp.ones(2), np.ones((1, 1))):
        with pytest.raises(ValueError, match=rf"\({option}=array of shape \(") as error:
            build(name, **{option: array})
        assert message(error, option) == SCALAR


@pytest.mark.parametrize(("name", "option", "rule"), NUMBERS)
def test_numbers_at_the_ends_of_the_range_pass(name, option, rule):
    least = {"threshold": 4.0, "eta_plus": 1.0, "largest_step": 1.0}.get(option)
    least = least or {POSITIVE: 1e-30}.get(rule, 0.0)
    for value in (least, np.float32(least), jnp.float32(least), np.asarray(least)):
        build(name, **{option: value})
    if rule != FRACTION:
        build(name, **{option: 10})


@pytest.mark.parametrize(("name", "option", "rule"), NUMBERS)
def test_traced_numbers_pass(name, option, rule):
    """Out of range too: a tracer has no value to check."""

    def once(value):
        tx, ones = optax.with_extra_args_support(build(name, **{option: value})), jnp.ones(2)
        return tx.update(ones, tx.init(ones), ones, hessian=ones)[0]

    assert jax.eval_shape(once, -1.0).shape == (2,)
    assert jax.eval_shape(jax.vmap(once), jnp.ones(3)).shape == (3, 2)


CHOICES = [
    ("adagrad", "eps_placement", "insde", "'outside', 'inside'; did you mean 'inside'?"),
    ("adagrad", "eps_placement", "uncorrected", "'outside', 'inside'"),
    ("rmsprop", "eps_placement", "in", "'outside', 'inside'"),
    ("adam", "eps_placement", "outsid", "'outside', 'inside', 'uncorrected'; did you mean"),
    ("adamw", "eps_placement", "root", "'outside', 'inside', 'uncorrected'"),
    ("nadam", "eps_placement", 0, "'outside', 'inside', 'uncorrected'"),
    ("radam", "eps_placement", None, "'outside', 'inside', 'uncorrected'"),
    ("radam", "before_rectification", "skipp", "'momentum', 'skip'; did you mean 'skip'?"),
    ("scale_by_rms", "eps_placement", "", "'outside', 'inside'"),
    ("amsgrad", "bias_correction", True, "'none', 'after', 'before'"),
    ("adamax", "eps_placement", "uncorrected", "'outside', 'inside'"),
    ("adan", "eps_placement", "outsid", "'outside', 'inside', 'uncorrected'; did you mean"),
    ("ademamix", "eps_placement", "", "'outside', 'inside', 'uncorrected'"),
    ("muon", "scale", "rsm", "'spectral', 'rms', 'none'; did you mean 'rms'?"),
]


@pytest.mark.parametrize(("name", "option", "value", "words"), CHOICES)
def test_words(name, option, value, words):
    with pytest.raises(ValueError, match=rf"\({option}={value!r}\): ") as error:
        build(name, **{option: value})
    assert message(error, option).startswith(f"must be one of {words}")


@pytest.mark.parametrize(("name", "option"), [(n, o) for n, row in STEPS.items() for o in row])
def test_whole_numbers(name, option):
    with pytest.raises(ValueError, match=rf"^{name}\({option}=0\): {option} must be at least 1\."):
        build(name, **{option: 0})
    for value in (2.0, True, "3"):
        with pytest.raises(TypeError, match=rf"^{name}\({option}={value!r}\): .* be an integer\."):
            build(name, **{option: value})
    build(name, **{option: 1})


OTHERS = [
    ("lamb", "norm_bounds", (1.0,), "must be 2 numbers."),
    ("lamb", "norm_bounds", 3.0, "must be 2 numbers."),
    ("lamb", "norm_bounds", (2.0, 1.0), "must be (least, largest) with 0 <= least <= largest."),
    ("muon", "coefficients", (1.0, 2.0), "must be 3 numbers."),
    ("muon", "coefficients", "abc", "must be 3 numbers."),
    ("muon", "coefficients", [1.0, 2.0, "3"], NUMBER),
    ("muon", "rest", ao.scale_by_adam, "must be an optax transformation, such as "),
]


@pytest.mark.parametrize(("name", "option", "value", "words"), OTHERS)
def test_other_options(name, option, value, words):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}\({option}=") as error:
        build(name, **{option: value})
    assert message(error, option).startswith(words)


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_nesterov_needs_momentum(name):
    with pytest.raises(ValueError, match=rf"{name}\(nesterov=True\): give a momentum too, such as"):
        build(name, nesterov=True)
    build(name, nesterov=True, momentum=0.9)


def test_radams_threshold_is_at_least_4():
    with pytest.raises(ValueError, match=r"radam\(threshold=3.9\): threshold must be at least 4\."):
        ao.radam(0.1, threshold=3.9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_learning_rate_none_points_to_the_rule(name):
    with pytest.raises(TypeError, match=r"learning_rate=None\): .* use the scale_by_\.\.\. rule\."):
        getattr(ao, name)(None)
    getattr(ao, name)(lambda count: -1.0)  # a schedule is not called when built


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_go_by_keyword(name):
    with pytest.raises(TypeError, match="positional argument"):
        getattr(ao, name)(0.1, 0.9)
    with pytest.raises(TypeError, match="unexpected keyword argument 'lr'"):
        getattr(ao, name)(lr=0.1)


LOOKAHEAD = [
    (ValueError, {"every": 0}, r"lookahead\(every=0\): every must be at least 1\."),
    (ValueError, {"every": -3}, r"lookahead\(every=-3\): every must be at least 1\."),
    (TypeError, {"every": 2.0}, r"lookahead\(every=2\.0\): every must be an integer\."),
    (TypeError, {"every": True}, r"lookahead\(every=True\): every must be an integer\."),
    (TypeError, {"every": jnp.ones(2, int)}, r"every must be an integer\."),
    (ValueError, {"step_size": 0.0}, r"lookahead\(step_size=0\.0\): step_size must .* above 0\."),
    (ValueError, {"step_size": math.nan}, r"step_size=nan\): step_size must be finite"),
    (ValueError, {"step_size": 1.5}, r"lookahead\(step_size=1\.5\): .* must lie in \(0, 1\]\."),
    (TypeError, {"step_size": "half"}, r"step_size='half'\): step_size must be a number"),
    (ValueError, {"at_sync": "pull"}, r"at_sync='pull'\): .*'keep', 'reset', 'pullback'"),
]


@pytest.mark.parametrize(("kind", "options", "words"), LOOKAHEAD)
def test_lookahead(kind, options, words):
    with pytest.raises(kind, match=words):
        ao.lookahead(ao.sgd(0.1), **options)


@pytest.mark.parametrize(("kind", "power"), [(ValueError, -1.0), (TypeError, "2")])
def test_averaged(kind, power):
    with pytest.raises(kind, match=rf"^averaged\(power={power!r}\): power must be "):
        ao.averaged(ao.sgd(0.1), power=power)


def test_lookahead_takes_traced_options():
    def once(every, step_size):
        tx = ao.lookahead(ao.sgd(0.1), every, step_size)
        return tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2))[0]

    whole, half = (jax.jit(once)(1, share) for share in (1.0, 0.5))
    np.testing.assert_allclose((whole, half), [[-0.1, -0.1], [-0.05, -0.05]], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ao.lookahead(ao.sgd), r"^lookahead\(inner=sgd\): .* has to be called\."),
        (lambda: ao.averaged(ao.sgd), r"^averaged\(inner=sgd\): .* has to be called\."),
        (lambda: ao.cautious(ao.sgd), r"^cautious\(inner=sgd\): .* has to be called\."),
        (lambda: ao.schedule_free(ao.sgd), r"^schedule_free\(inner=sgd\): .* has to be called\."),
        (lambda: ao.descend(ao.scale_by_adam, 0.1), r"^descend\(direction=scale_by_adam\): "),
    ],
)
def test_a_constructor_is_no_transformation(make, words):
    with pytest.raises(TypeError, match=words):
        make()
