"""Schedules as objects: printed, compared, composed, drawn, and given to optax."""

import copy
import pickle

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax import schedules
from adaptive_optax.learning_rate.phases import fraction
from adaptive_optax.learning_rate.schedules import (
    constant,
    cosine,
    exponential,
    inverse_time,
    linear,
    one_cycle,
    polynomial,
    slanted_triangular,
    step,
    warm_restarts,
    warmup_stable_decay,
)

PRINTED = [
    "constant(0.1)",
    "linear(0.0, length=10, final=0.1)",
    "exponential(0.1, rate=0.5, every=10)",
    "inverse_time(0.1, rate=0.5, every=1)",
    "step(0.1, rate=0.5, every=2.5, steps_per_epoch=10)",
    "polynomial(0.1, length=10, power=2)",
    "cosine(0.1, length=1000, final=0.001)",
    "warm_restarts(0.1, cycle=10, cycles=3, length_growth=2)",
    "one_cycle(0.1, length=100)",
    "one_cycle(0.1, length=100, warm_up=fraction(0.4), shape='linear', three_phases=True)",
    "warmup_stable_decay(0.1, length=100, warm_up=10, decay=fraction(0.3), shape='1-sqrt')",
    "slanted_triangular(0.1, length=100, cut_frac=0.2)",
    "cosine(0.1, length=90).warmed_up(10)",
    "cosine(0.1, length=90).warmed_up(fraction(0.1), start=0.5)",
    "cosine(0.1, length=90).then(constant(0.01))",
    "constant(0.1).then(linear(0.1, length=5, steps_per_epoch=7), at=3).scaled(0.5)",
    "linear(0.1, length=5).then(linear(0.1, length=5).scaled(0.2), at=fraction(0.4))",
]


@pytest.mark.parametrize("call", PRINTED)
def test_it_prints_as_the_call_that_makes_it_again(call):
    made = eval(call, vars(schedules))
    assert repr(made) == call
    again = eval(repr(made), vars(schedules))
    for other in (again, pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert other == made
        assert hash(other) == hash(made)
        assert other.length == made.length
        np.testing.assert_array_equal(other(jnp.arange(50)), made(jnp.arange(50)))


def test_calls_are_compared_by_value():
    assert cosine(0.1, 100) == cosine(learning_rate=0.1, length=100.0, final=0)
    assert repr(cosine(jnp.array(0.5), np.int64(100))) == "cosine(0.5, length=100)"
    assert cosine(0.5, 100) != cosine(0.5, 101)
    assert cosine(0.5, 100) != linear(0.5, 100)
    assert cosine(0.5, 100) != "cosine(0.5, length=100)"
    assert cosine(0.5, 5, steps_per_epoch=20) != cosine(0.5, 100)  # other calls, the same rates
    assert len({cosine(0.5, 100), cosine(0.5, 100), 2 * cosine(0.5, 100)}) == 2
    with pytest.raises(AttributeError):
        cosine(0.5, 100).length = 3


def test_products():
    base, counts = cosine(0.1, 100), jnp.arange(110)
    for twice in (base * 2, 2 * base, base * jnp.array(2.0), np.float64(2) * base):
        assert twice == base.scaled(2)
        np.testing.assert_allclose(twice(counts), 2 * base(counts), rtol=1e-7)
    assert (jnp.float32(0.5) * base).length == 100
    with pytest.raises(ValueError, match=r"scaled\(factor=-1\): factor must be finite and at le"):
        -1 * base
    with pytest.raises(TypeError, match=r"scaled\(factor=cosine\(.*must be a number"):
        base * base


def test_one_schedule_then_another():
    first, second = linear(1.0, 10, final=0.5), step(0.25, 0.5, every=5)
    joined = first.then(second)
    found = [float(joined(t)) for t in (0, 9, 10, 14, 15)]
    np.testing.assert_allclose(found, [1.0, 0.55, 0.25, 0.25, 0.125], rtol=1e-6)
    assert joined.length is None
    early, late = first.then(first, at=5), first.then(first, at=12)
    np.testing.assert_allclose([float(early(t)) for t in (4, 5, 15)], [0.8, 1.0, 0.5], rtol=1e-6)
    np.testing.assert_allclose([float(late(t)) for t in (11, 12, 22)], [0.5, 1.0, 0.5], rtol=1e-6)
    assert (early.length, late.length) == (15, 22)
    assert first.then(second, at=fraction(0.5))(5) == 0.25


def test_methods_count_in_the_schedules_own_unit():
    epochs = cosine(0.1, 9, steps_per_epoch=10)
    assert epochs.warmed_up(1) != cosine(0.1, 90).warmed_up(10)
    assert epochs.warmed_up(1).length == epochs.warmed_up(10, steps_per_epoch=1).length == 100
    assert epochs.warmed_up(fraction(0.5)).length == 135
    assert (2 * epochs.warmed_up(1)).then(constant(0.1), at=2).steps_per_epoch == 10
    held = constant(0.1).then(epochs, at=3)
    assert held.length == 120
    assert held.warmed_up(1).length == 130
    assert constant(0.1).warmed_up(3).steps_per_epoch is None
    both = cosine(0.1, 9).then(epochs, at=5, steps_per_epoch=2)
    assert (both.length, both.warmed_up(1).length) == (100, 102)


def test_warm_up_begins_at_its_share_of_the_first_value():
    warm = step(0.5, 0.5, every=3).warmed_up(4, start=0.5)
    found = [float(warm(t)) for t in range(8)]
    np.testing.assert_array_equal(found, [0.25, 0.3125, 0.375, 0.4375, 0.5, 0.5, 0.5, 0.25])


def test_the_triangles_peak_is_where_decimals_put_it():
    """0.29 * 100 is a little less than 29 in floats."""
    assert slanted_triangular(1.0, 100, cut_frac=0.29)(29) == 1.0


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (optax.adam, "float32"),
        (optax.adam, "bfloat16"),
        (ao.adam, "bfloat16"),
        (optax.inject_hyperparams(optax.adam), "float32"),
        (optax.inject_hyperparams(optax.sgd), "bfloat16"),  # its adam in bfloat16 gives NaN
    ],
)
def test_optimizers_take_it(make, dtype):
    """A constant gradient of 1 makes their steps the rate."""
    schedule = one_cycle(0.1, 20)
    params = {"w": jnp.ones(3, dtype)}
    tx = make(schedule)

    def update(state, _):
        updates, state = tx.update({"w": jnp.ones(3, dtype)}, state, params)
        return state, updates["w"]

    state, found = jax.lax.scan(update, tx.init(params), length=8)
    assert found.dtype == dtype
    rtol = 1e-4 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(-np.float32(found[:, 0]), schedule(jnp.arange(8)), rtol=rtol)
    if hasattr(state, "hyperparams"):
        found = np.float32(state.hyperparams["learning_rate"])
        np.testing.assert_allclose(found, schedule(7), rtol=rtol)


EVERY = [eval(call, vars(schedules)) for call in PRINTED]


def test_strict_settings():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for schedule in EVERY:
            rate = jax.eval_shape(schedule, jnp.int32(3))
            assert rate.dtype == jnp.float32
            assert rate.weak_type
    with jax.debug_nans(True), jax.debug_infs(True):
        for schedule in EVERY:
            schedule(jnp.array([0, 3, 100, 2**31 - 1]))


def test_counts_of_any_kind():
    schedule = cosine(0.1, 1000)
    for kind in ("int8", "uint8", "uint32", "float16", "bfloat16", "float32"):
        rate = schedule(jnp.array(5, kind))
        assert rate.dtype == jnp.float32
        np.testing.assert_allclose(rate, float(schedule(5)), rtol=1e-6)
    np.testing.assert_array_equal(schedule(np.arange(5).reshape(5, 1)).shape, (5, 1))
    assert constant(0.1)(jnp.zeros((2, 3), int)).shape == (2, 3)
    np.testing.assert_allclose(linear(1.0, 4)(0.5), 0.875)
    assert schedule(-3) == schedule(0)


def test_double_precision():
    with jax.enable_x64(True):
        for count in (123, np.int32(123), jnp.int64(123)):
            rate = cosine(0.1, 1000)(count)
            assert rate.dtype == jnp.float64
            np.testing.assert_allclose(rate, 0.05 * (1 + np.cos(np.pi * 0.123)), rtol=1e-14)
        assert (jnp.float32(1) * rate).dtype == jnp.float32
        assert cosine(0.1, 1000)(10**10) == 0.0


@pytest.mark.parametrize(
    "make",
    [
        constant,
        lambda rate: cosine(rate, 10),
        lambda rate: exponential(rate, 0.5, every=10),
        lambda rate: warm_restarts(rate, 5, length_growth=2, final=0.01),
        lambda rate: (0.5 * one_cycle(rate, 10)).warmed_up(3),
        lambda rate: polynomial(rate, 10, power=rate + 1),
    ],
)
def test_the_rate_may_be_traced(make):
    """A sweep over rates compiles once, and a schedule has slopes."""
    rates, counts = jnp.array([0.1, 0.2]), jnp.array([0, 3, 9, 100])
    found = jax.jit(jax.vmap(lambda rate: make(rate)(counts)))(rates)
    expected = jnp.stack([make(float(rate))(counts) for rate in rates])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    slopes = jax.jacobian(lambda rate: make(rate)(counts))(0.1)
    assert jnp.all(jnp.isfinite(slopes))
    narrow = jax.eval_shape(lambda rate: make(rate)(3), jnp.bfloat16(0.1))
    assert narrow.dtype == jnp.float32


def test_plot():
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axes = cosine(0.1, 10).plot()
    np.testing.assert_allclose(axes.lines[0].get_xdata(), np.arange(11))
    np.testing.assert_allclose(axes.lines[0].get_ydata(), cosine(0.1, 10)(np.arange(11)))
    assert constant(0.1).plot(steps=50_000, ax=axes) is axes
    assert axes.lines[1].get_xdata()[[0, -1]].tolist() == [0, 50_000]
    assert len(axes.lines[1].get_xdata()) <= 2001
    plt.close(axes.figure)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constant(-1.0), r"constant\(learning_rate=-1.0\): .* above 0"),
        (lambda: exponential(0.1, 0.0, 5), r"exponential\(rate=0.0\): .* above 0"),
        (lambda: inverse_time(0.1, -1, 5), r"inverse_time\(rate=-1\): .* above 0"),
        (lambda: step(0.1, 0.5, 0), r"step\(every=0\): .* above 0"),
        (lambda: step(0.1, 0.5, 1, steps_per_epoch=0), r"steps_per_epoch .* at least 1"),
        (lambda: cosine(-0.1, 5), r"cosine\(learning_rate=-0.1\): .* at least 0"),
        (lambda: linear(0.1, 5, final=-1), r"linear\(final=-1\): .* at least 0"),
        (lambda: linear(0.1, 0), r"linear\(length=0\): .* above 0"),
        (lambda: linear(0.1, 0.2), r"linear\(length=0.2\): .* at least one update, not to 0.2"),
        (lambda: linear(0.1, 1e10), r"length must come to fewer than 2\*\*31 updates"),
        (lambda: linear(0.1, fraction(0.5)), r"length=fraction\(0.5\)\): .* give a number"),
        (lambda: fraction(1.5), r"fraction\(share=1.5\): share must lie in \[0, 1\]"),
        (lambda: polynomial(0.1, 5, power=0), r"polynomial\(power=0\): .* above 0"),
        (lambda: warm_restarts(0.1, 5, final=0.2), r"final must be at most learning_rate, 0.1"),
        (lambda: warm_restarts(0.1, 5, cycles=0), r"warm_restarts\(cycles=0\): .* at least 1"),
        (lambda: warm_restarts(0.1, 9**9, cycles=9), r"cycles=9\): cycles must end before 2\*\*31"),
        (lambda: one_cycle(0.1, 9, warm_up=9), r"warm_up=9\): warm_up must be less than length;"),
        (
            lambda: one_cycle(0.1, 9, warm_up=fraction(0.6), three_phases=True),
            r"warm_up=fraction\(0.6\)\): .* less than half of length; it comes to 5 of 9",
        ),
        (lambda: one_cycle(0.1, 9, shape="cosin"), r"shape must be one of .* did you mean 'cosin"),
        (lambda: warmup_stable_decay(0.1, 9, warm_up=9), r"at most length together; .* 9 and 2"),
        (lambda: warmup_stable_decay(0.1, 9, decay=-1), r"warmup_stable_decay\(decay=-1\): "),
        (lambda: slanted_triangular(0.1, 9, cut_frac=1), r"cut_frac must lie in \(0, 1\)"),
        (lambda: constant(0.1).then(constant(0.2)), r"then\(at=None\): .* has no end; give at"),
        (lambda: constant(0.1).then(constant(0.2), at=0), r"then\(at=0\): .* above 0"),
        (lambda: constant(0.1).warmed_up(fraction(0.1)), r"warmed_up\(duration=.* give a number"),
        (lambda: constant(0.1).warmed_up(5, start=-1), r"warmed_up\(start=-1\): .* at least 0"),
        (
            lambda: linear(1, 5).then(linear(1, 5, steps_per_epoch=9)),
            r"in units of 1 updates and .* in units of 9; give steps_per_epoch",
        ),
        (lambda: constant(0.1).plot(), r"plot\(steps=None\): constant\(0.1\) has no end; give st"),
        (lambda: constant(0.1).plot(0), r"plot\(steps=0\): .* at least 1"),
    ],
)
def test_values_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: step(0.1, 0.5, 1, steps_per_epoch=2.5), "steps_per_epoch must be an integer"),
        (lambda: cosine(0.1), r"cosine\(\): missing a required argument: 'length'"),
        (lambda: cosine("a", 5), r"cosine\(learning_rate='a'\): .* must be a number"),
        (lambda: cosine(0.1, "5"), r"cosine\(length='5'\): .* a number or fraction\(...\), known"),
        (lambda: jax.jit(lambda n: cosine(0.1, n)(0))(5), r"known when the schedule is built"),
        (lambda: fraction("a"), r"fraction\(share='a'\): share must be a number"),
        (lambda: warm_restarts(0.1, 5, length_growth=1.5), "length_growth must be an integer"),
        (
            lambda: jax.jit(lambda c: slanted_triangular(0.1, 9, cut_frac=c)(0))(0.5),
            "cut_frac must be a number that is known",
        ),
        (lambda: cosine(0.1, 5).then(optax.constant_schedule(0.1)), "optax.join_schedules"),
    ],
)
def test_kinds_that_do_not_fit(make, message):
    with pytest.raises(TypeError, match=message):
        make()
