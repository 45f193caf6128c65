"""Schedules of several phases: restarts, one cycle, warm-up and cool-down, a slanted triangle.

How durations are counted, and where schedules end, is said once, in `schedules`.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from adaptive_optax.core.checks import (
    check_choice,
    check_flag,
    check_non_negative,
    check_positive,
    check_steps,
)
from adaptive_optax.core.types import Scalar
from adaptive_optax.learning_rate.phases import MOST, Duration, fraction, updates
from adaptive_optax.learning_rate.ramps import SHAPES, Ramp, path
from adaptive_optax.learning_rate.schedule import RateSchedule, remembered

TORCHS_WARM_UP = fraction(0.3)
TWENTIETH, FIFTH = fraction(0.05), fraction(0.2)


@remembered
def warm_restarts(
    learning_rate: Scalar,
    cycle: Duration,
    *,
    cycles: int | None = None,
    length_growth: int = 1,
    peak_decay: Scalar = 1.0,
    final: Scalar = 0.0,
    steps_per_epoch: int = 1,
) -> RateSchedule:
    """SGDR: cosine decays one after the other (Loshchilov & Hutter, 2017, arXiv:1608.03983).

        final + (learning_rate - final) peak_decay^i (1 + cos(pi t_i / T_i)) / 2

    in cycle i = 0, 1, ... of length T_i = cycle * length_growth^i, with t_i updates of it done.
    The count at which a cycle ends is the next one's start, at its peak.

    Args:
      learning_rate: at the first start, at least 0.
      cycle: T_0, units in the first cycle, above 0; no fraction.
      cycles: how many, at least 1, after which the rate stays at `final`; None restarts for ever.
      length_growth: of each cycle over the one before, an integer of at least 1; the paper's
        T_mult.
      peak_decay: of each peak's height over `final`, above 0; 1 as in the paper.
      final: what each cycle falls to, from 0 to learning_rate.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> waves = warm_restarts(1.0, cycle=2, cycles=2, length_growth=2)
    >>> [round(float(waves(t)), 3) for t in range(8)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    check_non_negative("warm_restarts", learning_rate=learning_rate, final=final)
    check_positive("warm_restarts", peak_decay=peak_decay)
    check_steps("warm_restarts", steps_per_epoch=steps_per_epoch, length_growth=length_growth)
    known = isinstance(learning_rate, int | float) and isinstance(final, int | float)
    if known and final > learning_rate:
        raise ValueError(
            f"warm_restarts(final={final}): final must be at most learning_rate, {learning_rate}."
        )
    first = updates("warm_restarts", "cycle", cycle, steps_per_epoch)
    length = None
    if cycles is not None:
        check_steps("warm_restarts", cycles=cycles)
        length = first * sum(length_growth**i for i in range(cycles))
        if length > MOST:
            raise ValueError(
                f"warm_restarts(cycles={cycles}): cycles must end before 2**31 updates; "
                f"None restarts for ever."
            )

    begins, lengths = _cycles(first, length_growth)

    def rate(t):
        whole: Any
        if length_growth == 1:
            index = t // first
            whole, done = first, t % first
        else:
            index = jnp.searchsorted(begins, t, side="right") - 1
            whole = jnp.asarray(lengths)[index]
            done = t - jnp.asarray(begins)[index]
        scale = whole * 1.0
        rest = SHAPES["cosine"](done / scale, (whole - done) / scale)[1]
        height = (learning_rate - final) * peak_decay ** (index * 1.0)
        value = jnp.where(t <= 0, learning_rate, final + height * rest)
        return value if length is None else jnp.where(t >= length, final, value)

    return RateSchedule(rate, length)


@remembered
def one_cycle(
    learning_rate: Scalar,
    length: Duration,
    *,
    warm_up: Duration = TORCHS_WARM_UP,
    start_divisor: Scalar = 25.0,
    final_divisor: Scalar = 1e4,
    shape: str = "cosine",
    three_phases: bool = False,
    steps_per_epoch: int = 1,
) -> RateSchedule:
    """One cycle up to learning_rate and down (Smith & Topin, 2018, arXiv:1708.07120).

        start = learning_rate / start_divisor -> learning_rate -> start / final_divisor

    Departures from the paper: as torch's OneCycleLR, it falls to the final rate in one cosine;
    `shape="linear", three_phases=True` has the paper's triangle with a tail. Torch ends a step
    sooner: OneCycleLR(learning_rate, total_steps=N, pct_start=s) is
    `one_cycle(learning_rate, N - 1, warm_up=s * N - 1)`.

    Args:
      learning_rate: at the peak, at least 0.
      length: units from the start to the final value, above 0.
      warm_up: units up to the peak, or a fraction of the length; shorter than it.
      start_divisor: of the peak, above 0; torch's div_factor.
      final_divisor: of the start, above 0; torch's final_div_factor.
      shape: "cosine" or "linear", of every phase.
      three_phases: falls to the start in a second warm_up, and to the final value in a third
        phase; warm_up is then less than half of the length.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> cycle = one_cycle(1.0, length=10, warm_up=4, start_divisor=4.0)
    >>> [round(float(cycle(t)), 4) for t in (0, 2, 4, 7, 10)]
    [0.25, 0.625, 1.0, 0.5, 0.0]
    """
    check_flag("one_cycle", three_phases=three_phases)
    check_non_negative("one_cycle", learning_rate=learning_rate)
    check_positive("one_cycle", start_divisor=start_divisor, final_divisor=final_divisor)
    check_choice("one_cycle", ("cosine", "linear"), shape=shape)
    check_steps("one_cycle", steps_per_epoch=steps_per_epoch)
    whole = updates("one_cycle", "length", length, steps_per_epoch)
    rising = updates("one_cycle", "warm_up", warm_up, steps_per_epoch, whole=whole, least=0)
    gone = 2 * rising if three_phases else rising
    if gone >= whole:
        part = "less than half of length" if three_phases else "less than length"
        raise ValueError(
            f"one_cycle(warm_up={warm_up!r}): warm_up must be {part}; it comes to {rising} of "
            f"{whole} updates."
        )
    start, curve = learning_rate / start_divisor, SHAPES[shape]
    final = start / final_divisor
    ramps = [Ramp(start, learning_rate, rising, curve)]
    if three_phases:
        ramps.append(Ramp(learning_rate, start, rising, curve))
    top = ramps[-1].end
    return RateSchedule(path(*ramps, Ramp(top, final, whole - gone, curve)), whole)


@remembered
def warmup_stable_decay(
    learning_rate: Scalar,
    length: Duration,
    *,
    warm_up: Duration = TWENTIETH,
    decay: Duration = FIFTH,
    shape: str = "linear",
    final: Scalar = 0.0,
    steps_per_epoch: int = 1,
) -> RateSchedule:
    """WSD: a linear warm-up from 0, a constant rate, and a decay.

    Hu et al., 2024, arXiv:2404.06395. The constant part can be prolonged, or cooled down from any
    of its checkpoints. A decay over a fifth of the training, and "1-sqrt", rest =
    1 - sqrt(share of the decay gone), are Hägele et al.'s, 2024, arXiv:2405.18392. Departures: Hu
    et al. decay exponentially, over a tenth.

    Args:
      learning_rate: of the constant part, at least 0.
      length: units from the start to the final value, above 0.
      warm_up: units of the warm-up, or a fraction of the length, at least 0; with one, the first
        update moves nothing.
      decay: units of the decay, at the end, or a fraction of the length, above 0.
      shape: of the decay: "linear", "cosine" or "1-sqrt".
      final: at the end and after it, at least 0.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range, or where warm-up and
        decay are longer than the whole.

    >>> stable = warmup_stable_decay(1.0, length=100, warm_up=10, decay=fraction(0.5))
    >>> [float(stable(t)) for t in (0, 5, 10, 50, 75, 100)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    name = "warmup_stable_decay"
    check_non_negative(name, learning_rate=learning_rate, final=final)
    check_choice(name, ("linear", "cosine", "1-sqrt"), shape=shape)
    check_steps(name, steps_per_epoch=steps_per_epoch)
    whole = updates(name, "length", length, steps_per_epoch)
    rising = updates(name, "warm_up", warm_up, steps_per_epoch, whole=whole, least=0)
    falling = updates(name, "decay", decay, steps_per_epoch, whole=whole)
    stable = whole - rising - falling
    if stable < 0:
        raise ValueError(
            f"{name}(warm_up={warm_up!r}, decay={decay!r}): warm_up and decay must be at most "
            f"length together; they come to {rising} and {falling} of {whole} updates."
        )
    ramps = (
        Ramp(0.0, learning_rate, rising),
        Ramp(learning_rate, learning_rate, stable, SHAPES["flat"]),
        Ramp(learning_rate, final, falling, SHAPES[shape]),
    )
    return RateSchedule(path(*ramps), whole)


@remembered
def slanted_triangular(
    learning_rate: Scalar,
    length: Duration,
    *,
    cut_frac: float = 0.1,
    ratio: Scalar = 32.0,
    steps_per_epoch: int = 1,
) -> RateSchedule:
    """ULMFiT's short rise and long fall, for fine-tuning (Howard & Ruder, 2018, arXiv:1801.06146).

        learning_rate / ratio -> learning_rate -> learning_rate / ratio, both in straight lines

    Departures: the fall ends at `length` exactly, and the rate then stays; the paper's goes on
    falling where cut_frac * length is no whole number of updates.

    Args:
      learning_rate: at the peak, at least 0.
      length: units from the start to the final value, above 0.
      cut_frac: share of the length in which it rises, in (0, 1); rounded down to whole updates.
      ratio: of the peak to both ends, above 0.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> triangle = slanted_triangular(1.0, length=100, cut_frac=0.2, ratio=4.0)
    >>> [float(triangle(t)) for t in (0, 10, 20, 60, 100)]
    [0.25, 0.625, 1.0, 0.625, 0.25]
    """
    name = "slanted_triangular"
    check_non_negative(name, learning_rate=learning_rate)
    check_positive(name, cut_frac=cut_frac, ratio=ratio)
    check_steps(name, steps_per_epoch=steps_per_epoch)
    if not isinstance(cut_frac, int | float):
        raise TypeError(f"{name}(cut_frac={cut_frac!r}): cut_frac must be a number that is known.")
    if not cut_frac < 1:
        raise ValueError(f"{name}(cut_frac={cut_frac}): cut_frac must lie in (0, 1).")
    whole = updates(name, "length", length, steps_per_epoch)
    rising = int(cut_frac * whole + 1e-6)  # 0.29 * 100 is 29, although floats fall short of it
    low = learning_rate / ratio
    ramps = Ramp(low, learning_rate, rising), Ramp(learning_rate, low, whole - rising)
    return RateSchedule(path(*ramps), whole)


def _cycles(first: int, growth: int) -> tuple[np.ndarray, np.ndarray]:
    """Begins and lengths of the cycles that grow, as many as begin before an int32 ends.

    The last may be longer than an int32 counts, and is then taken to be as long as that.
    """
    begins, lengths = [0], [first]
    while growth > 1 and begins[-1] + lengths[-1] <= MOST:
        begins.append(begins[-1] + lengths[-1])
        lengths.append(min(lengths[-1] * growth, MOST))
    return np.array(begins, np.int32), np.array(lengths, np.int32)
