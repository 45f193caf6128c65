"""Every optimizer follows its NumPy oracle, option by option, in float64 and float32.

The oracles get all options written out; ours get those alone that differ from our defaults, so
that the defaults are held to the papers too.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tree_options
from oracle_options import DEFAULTS, INSIDE, OPTIONS, STEPS, UNCORRECTED, WAVES
from oracles import ORACLES, lookahead_adam, lookahead_sgd
from oracles.tree_rules import TREE_ORACLES

import adaptive_optax as ao

# Of the largest value that a coordinate reached. Measured in float64: up to 6e-14, and 1e-12 for
# RAdam, whose rho the oracle takes by the paper's formula, which loses four digits; in float32,
# where a rounding is 2^-24 = 6e-8 and the averages keep those of some dozen steps, up to 3e-6.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
RADAM = 1e-11  # in float64

RATES = (0.1, WAVES)


class Case(NamedTuple):
    """One optimizer with its options and, for Lookahead around it, Lookahead's."""

    name: str
    options: dict[str, Any]
    around: dict[str, Any] | None = None


CASES = [
    Case(name, {**options, **eps, "learning_rate": rate})
    for name, rows in OPTIONS.items()
    for options in rows
    for eps in ([{}, {"eps": 1e-2}] if "eps" in DEFAULTS[name] else [{}])
    for rate in RATES
]
LOOKAHEADS = [
    Case(name, {**options, "learning_rate": rate}, {**shape, "at_sync": at_sync})
    for at_sync in ("keep", "reset", "pullback")
    for shape in ({"every": 5, "step_size": 0.5}, {"every": 3, "step_size": 0.8})
    for name, options in (
        ("sgd", {"momentum": 0.9}),
        ("adam", {}),
        ("adam", {"b2": 0.95, "eps": 1e-2}),
    )
    for rate in RATES
    # The inner schedule counts the inner steps, which a reset starts anew and the oracle does not.
    if not (at_sync == "reset" and rate is WAVES)
]

GROUPS = {
    **{name: [case for case in CASES if case.name == name] for name in OPTIONS},
    "lookahead": LOOKAHEADS,
}


def by_options(case: Case) -> str:
    """The case in a test's id."""
    options = {**case.options, **(case.around or {})}
    words = (f"{k}={'schedule' if isinstance(v, np.ndarray) else v}" for k, v in options.items())
    return f"{'lookahead ' if case.around else ''}{case.name}({','.join(words)})"


@functools.cache
def data(steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Starts, shape (80,), and gradients, shape (steps, 80), all of them float32 numbers.

    Constant, ramp, alternating and random gradients, of scales 1e-6 to 1e3, each of them from 0,
    where no digit of the move is lost, and from elsewhere, where weights can decay.
    """
    draw, t = np.random.default_rng(7), np.arange(STEPS)
    kinds = [np.ones(STEPS), np.linspace(-0.37, 1, STEPS), np.where(t % 2, -1.0, 1.0)]
    scales = 10.0 ** np.arange(-6, 4)
    regular = np.stack([kind[:, None] * scales for kind in kinds], 1)
    random = draw.standard_normal((STEPS, 1, scales.size)) * scales
    gradients = np.concatenate([regular, random], 1).reshape(STEPS, -1)[:steps]
    size = gradients.shape[1]
    starts = np.concatenate([np.zeros(size), draw.uniform(-2, 2, size)])
    return starts.astype(np.float32), np.tile(gradients, 2).astype(np.float32)


def schedule(value: Any) -> Any:
    """A number as it is, one number a step as a schedule."""
    if not isinstance(value, np.ndarray):
        return value
    values = jnp.asarray(value)
    return lambda count: values[count]


def build(library: Any, case: Case) -> optax.GradientTransformation:
    """The case's optimizer from `library`, which is ours or a mutant of it."""
    options = {key: schedule(value) for key, value in case.options.items()}
    tx = getattr(library, case.name)(options.pop("learning_rate"), **options)
    return tx if case.around is None else library.lookahead(tx, **case.around)


def follow(optimizers: list, start: Any, gradients: Any) -> list[tuple[Any, Any]]:
    """Of each optimizer the sums of its updates and the parameters to evaluate with, in NumPy.

    One program for all: compiling is what takes the time here.
    """

    def step(carry, grads):
        after, seen = [], []
        for tx, (params, state) in zip(optimizers, carry, strict=True):
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            after.append((params, state))
            seen.append((updates, ao.eval_params(state, params)))
        return after, seen

    def run(start, gradients):
        return jax.lax.scan(step, [(start, tx.init(start)) for tx in optimizers], gradients)[1]

    found = jax.tree.map(lambda x: np.asarray(x, np.float64), jax.jit(run)(start, gradients))
    return [(jax.tree.map(lambda u: np.cumsum(u, 0), moves), slow) for moves, slow in found]


def expected(case: Case, start: np.ndarray, gradients: np.ndarray) -> tuple[np.ndarray, ...]:
    """The oracle's parameters after each step: fast and slow, or the same twice."""
    options = {**DEFAULTS[case.name], **case.options}
    rate = options.pop("learning_rate")
    options = {key: _first(value, len(gradients)) for key, value in options.items()}
    given = gradients.astype(np.float64), start, _first(rate, len(gradients))
    if case.around is None:
        return (ORACLES[case.name](*given, **options),) * 2
    if case.name == "sgd":
        return lookahead_sgd(*given, momentum=options["momentum"], **case.around)
    return lookahead_adam(*given, **{k: options[k] for k in ("b1", "b2", "eps")}, **case.around)


def check(library: Any, cases: list[Case], dtype: str = "float64", steps: int = STEPS) -> None:
    """Fails unless the library's optimizers follow the oracles within the tolerance."""
    for case, paths in zip(cases, paths_of(library, cases, dtype, steps), strict=True):
        close(case, dtype, *paths, steps)


def paths_of(library: Any, cases: list[Case], dtype: str, steps: int = STEPS) -> list:
    """Fast and slow parameters of each case."""
    start, gradients = data(steps)
    with jax.enable_x64(dtype == "float64"):
        optimizers = [build(library, case) for case in cases]
        found = follow(optimizers, jnp.asarray(start, dtype), jnp.asarray(gradients, dtype))
    return [(start + moves, slow) for moves, slow in found]


@functools.cache
def ours(name: str, dtype: str) -> dict[str, Any]:
    """The paths of all cases of one name, by id."""
    cases = GROUPS[name]
    return dict(zip(map(by_options, cases), paths_of(ao, cases, dtype), strict=True))


def close(case: Case, dtype: str, fast: Any, slow: Any, steps: int = STEPS) -> None:
    """Fails unless each coordinate is within the tolerance of the largest it ever was."""
    tolerance = RADAM if case.name == "radam" and dtype == "float64" else TOLERANCE[dtype]
    pairs = zip((fast, slow), expected(case, *data(steps)), strict=True)
    for path, exact in pairs if case.around else [next(pairs)]:
        error = np.max(np.abs(path - exact).max(0) / np.abs(exact).max(0))
        assert error < tolerance, f"{by_options(case)} in {dtype} is off by {error:.1e}"


def _first(value: Any, steps: int) -> Any:
    return value[:steps] if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", [*CASES, *LOOKAHEADS], ids=by_options)
def test_follows_the_oracle(case, dtype):
    group = "lookahead" if case.around else case.name
    close(case, dtype, *ours(group, dtype)[by_options(case)])


def test_every_oracle_has_cases():
    assert {*OPTIONS, *tree_options.OPTIONS} == {*ORACLES, *TREE_ORACLES}


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "radam"])
def test_eps_root_is_what_eps_is_inside_the_root(name):
    """This holds eps_root to the oracles where they do not have it."""
    root = {"eps": 0.0, "eps_root": 1e-2}
    options = [{**INSIDE, "eps": 1e-2}, root, {**INSIDE, **root}, {**UNCORRECTED, **root}]
    cases = [Case(name, {**option, "learning_rate": 0.1}) for option in options]
    (first, _), *others = paths_of(ao, cases, "float64")
    for path, _ in others:
        np.testing.assert_allclose(path, first, rtol=1e-12, atol=1e-12)
