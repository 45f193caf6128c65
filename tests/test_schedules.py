"""The rates of every schedule, against loops in float64, in every unit and inside optimizers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax import schedules
from adaptive_optax.learning_rate.phases import fraction


def ramp(start, end, length, rest):
    """Of optax's and torch's kind: end + (start - end) rest(t / T), T at most."""
    return lambda t: end + (start - end) * rest(min(t, length) / length)


def half_wave(x):
    return (1 + math.cos(math.pi * x)) / 2


def restarts(t, peak, first, growth, decay, final, cycles=math.inf):
    """Loshchilov & Hutter's T_cur and T_i, counted one update at a time."""
    current, whole, index, height = 0, first, 0, peak - final
    for _ in range(t):
        current += 1
        if current == whole:
            current, whole, index, height = 0, whole * growth, index + 1, height * decay
        if index == cycles:
            return final
    return final + height * half_wave(current / whole)


def torchs_one_cycle(t, peak, total, pct_start, div, final_div, wave, three_phase):
    """OneCycleLR.get_lr of torch 2: phases up to their last step, and a share of each."""
    initial, last = peak / div, peak / div / final_div
    phases = [(pct_start * total - 1, initial, peak)]
    if three_phase:
        phases.append((2 * pct_start * total - 2, peak, initial))
    phases.append((total - 1, phases[-1][2], last))
    begin = 0.0
    for end, low, high in phases:
        if t <= end:
            return high + (low - high) * wave((t - begin) / (end - begin))
        begin = end
    return last


def wsd(t, rate, length, warm_up, decay, final, rest):
    if t < warm_up:
        return rate * t / warm_up
    if t < length - decay:
        return rate
    return final + (rate - final) * rest(min(t - length + decay, decay) / decay)


def ulmfit(t, peak, length, cut_frac, ratio):
    """Howard & Ruder's equation 3."""
    cut = math.floor(length * cut_frac)
    t = min(t, length)
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
    return peak * (1 + p * (ratio - 1)) / ratio


def straight(x):
    return 1 - x


CASES = {
    "constant": (schedules.constant(0.3), lambda t: 0.3),
    "linear": (schedules.linear(0.1, 97), ramp(0.1, 0.0, 97, straight)),
    "linear, rising": (schedules.linear(0.0, 97, final=0.3), ramp(0.0, 0.3, 97, straight)),
    "cosine": (schedules.cosine(0.1, 97), ramp(0.1, 0.0, 97, half_wave)),
    "cosine, final": (schedules.cosine(0.1, 97, final=1e-3), ramp(0.1, 1e-3, 97, half_wave)),
    "cosine, rising": (schedules.cosine(1e-3, 97, final=0.3), ramp(1e-3, 0.3, 97, half_wave)),
    "cube": (schedules.polynomial(0.1, 97, power=3), ramp(0.1, 0, 97, lambda x: (1 - x) ** 3)),
    "root, rising": (
        schedules.polynomial(1e-3, 97, power=0.5, final=0.3),
        ramp(1e-3, 0.3, 97, lambda x: (1 - x) ** 0.5),
    ),
    "exponential": (schedules.exponential(0.1, 0.5, 13.5), lambda t: 0.1 * 0.5 ** (t / 13.5)),
    "inverse_time": (schedules.inverse_time(0.1, 0.5, 10), lambda t: 0.1 / (1 + 0.05 * t)),
    "step": (schedules.step(0.1, 0.5, 41), lambda t: 0.1 * 0.5 ** (t // 41)),
    "step, third": (
        schedules.step(0.1, 0.5, 100 / 3),
        lambda t: 0.1 * 0.5 ** sum(t >= drop for drop in (33, 67, 100, 133)),
    ),
    "warm_restarts": (
        schedules.warm_restarts(0.1, 31),
        lambda t: restarts(t, 0.1, 31, 1, 1.0, 0.0),
    ),
    "warm_restarts, growing": (
        schedules.warm_restarts(0.1, 10, length_growth=2, peak_decay=0.7, final=0.01),
        lambda t: restarts(t, 0.1, 10, 2, 0.7, 0.01),
    ),
    "warm_restarts, ended": (
        schedules.warm_restarts(0.1, 7, cycles=3, length_growth=3, final=0.01),
        lambda t: restarts(t, 0.1, 7, 3, 1.0, 0.01, cycles=3),
    ),
    "one_cycle": (
        schedules.one_cycle(0.1, 99, warm_up=0.3 * 100 - 1),
        lambda t: torchs_one_cycle(t, 0.1, 100, 0.3, 25.0, 1e4, half_wave, False),
    ),
    "one_cycle, three": (
        schedules.one_cycle(
            0.1, 99, warm_up=39, start_divisor=10.0, shape="linear", three_phases=True
        ),
        lambda t: torchs_one_cycle(t, 0.1, 100, 0.4, 10.0, 1e4, straight, True),
    ),
    "wsd": (
        schedules.warmup_stable_decay(0.1, 110, warm_up=fraction(0.1), decay=30, final=1e-3),
        lambda t: wsd(t, 0.1, 110, 11, 30, 1e-3, straight),
    ),
    "wsd, root": (
        schedules.warmup_stable_decay(0.1, 110, shape="1-sqrt", warm_up=0),
        lambda t: wsd(t, 0.1, 110, 0, 22, 0.0, lambda x: 1 - math.sqrt(x)),
    ),
    "wsd, cosine": (
        schedules.warmup_stable_decay(0.1, 110, shape="cosine", warm_up=88),
        lambda t: wsd(t, 0.1, 110, 88, 22, 0.0, half_wave),
    ),
    "slanted": (
        schedules.slanted_triangular(0.1, 100, cut_frac=0.3),
        lambda t: ulmfit(t, 0.1, 100, 0.3, 32.0),
    ),
    "composed": (
        0.5 * schedules.cosine(0.1, 60).warmed_up(20, start=0.1).then(schedules.constant(0.02)),
        lambda t: (
            (
                (0.1 + 0.9 * t / 20) * 0.1
                if t < 20
                else ramp(0.1, 0.0, 60, half_wave)(t - 20)
                if t < 80
                else 0.02
            )
            / 2
        ),
    ),
}
COUNTS = np.arange(141, dtype=np.int32)


@pytest.mark.parametrize("name", CASES)
def test_rates_are_those_of_a_loop(name):
    schedule, oracle = CASES[name]
    expected = np.array([oracle(t) for t in range(len(COUNTS))])
    _, found = jax.lax.scan(lambda t, _: (t + 1, schedule(t)), jnp.int32(0), length=len(COUNTS))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-16)
    np.testing.assert_allclose(jax.vmap(schedule)(COUNTS), expected, rtol=1e-6, atol=1e-16)
    np.testing.assert_allclose(float(schedule(17)), expected[17], rtol=1e-6, atol=1e-16)


ENDS = {
    "linear": (0.1, 0.003),
    "cosine": (0.1, 0.003),
    "warmup_stable_decay": (0.0, 0.003),
    "polynomial": (0.1, 0.003),
}


@pytest.mark.parametrize("length", [1, 49, 10**6, 2**31 - 1])
@pytest.mark.parametrize("name", ENDS)
def test_ends_are_exact_and_stay(name, length):
    """Also at 49: 49 * (1 / 49) is below 1 in float32."""
    more = {"power": 1.7} if name == "polynomial" else {}
    if name == "warmup_stable_decay":
        more = {"warm_up": fraction(0.0 if length == 1 else 0.4), "decay": fraction(0.6)}
    schedule = getattr(schedules, name)(0.1, length, final=0.003, **more)
    start = 0.1 if length == 1 else ENDS[name][0]
    counts = jnp.array([0, length, min(length + 1, 2**31 - 1), 2**31 - 1], jnp.int32)
    expected = np.float32([start, 0.003, 0.003, 0.003])
    np.testing.assert_array_equal(jax.jit(schedule)(counts), expected)
    assert schedule(0) == expected[0]
    assert schedule(length) == schedule(10**10) == expected[1]


def test_the_last_of_many_updates_keep_their_digits():
    """Optax's 1 - t / T and 1 + cos(pi t / T) have lost theirs, where float32 holds 1."""
    length = 2_000_000
    counts = np.r_[np.arange(1000), np.arange(length - 1000, length + 3)].astype(np.int32)
    left = np.maximum(length - counts, 0) / length
    for schedule, expected in (
        (schedules.linear(0.1, length), 0.1 * left),
        (schedules.cosine(0.1, length), 0.1 * np.sin(np.pi / 2 * left) ** 2),
        (schedules.polynomial(0.1, length, power=2.0), 0.1 * left**2),
    ):
        np.testing.assert_allclose(jax.jit(schedule)(counts), expected, rtol=1e-6, atol=0)
    often = schedules.step(1.0, 0.5, every=123_457)
    for t in (123_456, 123_457, 10 * 123_457 - 1, 10 * 123_457):
        assert float(jax.jit(often)(t)) == 0.5 ** (t // 123_457)
    waves = schedules.warm_restarts(1.0, 123_457)
    found = jax.jit(waves)(jnp.array([17 * 123_457 - 1, 17 * 123_457], jnp.int32))
    np.testing.assert_allclose(found, [np.sin(np.pi / 2 / 123_457) ** 2, 1.0], rtol=1e-6)


def test_drops_come_on_time_for_every_period():
    """Compiled, t times the inverse of 41 falls short of t / 41 at the drop."""
    for every in (3, 41, 47, 97):
        counts = np.arange(6 * every)
        found = jax.jit(schedules.step(1.0, 0.5, every))(counts)
        np.testing.assert_array_equal(found, 0.5 ** (counts // every))


def test_it_is_optaxs_schedule_where_optax_has_it():
    counts = jnp.arange(60)
    for ours, theirs in (
        (schedules.cosine(0.1, 50, final=0.01), optax.cosine_decay_schedule(0.1, 50, 0.1)),
        (schedules.linear(0.1, 50), optax.linear_schedule(0.1, 0.0, 50)),
        (
            schedules.polynomial(0.1, 50, power=1.5, final=0.01),
            optax.polynomial_schedule(0.1, 0.01, 1.5, 50),
        ),
        (
            schedules.one_cycle(0.1, 50, warm_up=15),
            optax.cosine_onecycle_schedule(50, 0.1, pct_start=0.3),
        ),
        (
            schedules.cosine(0.1, 40).warmed_up(10),
            optax.warmup_cosine_decay_schedule(0.0, 0.1, 10, 50),
        ),
    ):
        expected = jax.jit(jax.vmap(theirs))(counts)
        np.testing.assert_allclose(ours(counts), expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "words", "durations"),
    [
        ("linear", {}, {"length": 10}),
        ("cosine", {}, {"length": 2.5}),
        ("polynomial", {"power": 2}, {"length": 10}),
        ("exponential", {"rate": 0.5}, {"every": 0.5}),
        ("inverse_time", {"rate": 0.5}, {"every": 2}),
        ("step", {"rate": 0.5}, {"every": 2}),
        ("warm_restarts", {"length_growth": 2}, {"cycle": 3}),
        ("one_cycle", {}, {"length": 10, "warm_up": 4}),
        ("warmup_stable_decay", {}, {"length": 10, "warm_up": 2, "decay": 3}),
        ("slanted_triangular", {}, {"length": 10}),
    ],
)
def test_steps_epochs_and_fractions_are_the_same(name, words, durations):
    make, counts = getattr(schedules, name), jnp.arange(250)
    epochs = make(0.1, **words, **durations, steps_per_epoch=20)
    steps = make(0.1, **words, **{key: 20 * value for key, value in durations.items()})
    np.testing.assert_array_equal(epochs(counts), steps(counts))
    assert epochs.length == steps.length
    parts = {key: value for key, value in durations.items() if key != "length"}
    if "length" in durations and parts:
        shares = {key: fraction(value / durations["length"]) for key, value in parts.items()}
        mixed = make(0.1, 10, **words, **shares, steps_per_epoch=20)
        np.testing.assert_array_equal(mixed(counts), steps(counts))


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "composed"])
def test_an_optimizer_takes_the_rate_of_its_update(name):
    """Under a constant gradient Lion's steps are the schedule, the first at count 0."""
    schedule = CASES[name][0]
    tx = ao.lion(schedule)

    def step(state, _):
        updates, state = tx.update(jnp.float32(1.0), state)
        return state, -updates

    _, found = jax.lax.scan(step, tx.init(jnp.float32(0.0)), length=6)
    np.testing.assert_allclose(found, schedule(jnp.arange(6)), rtol=1e-6)
