"""The rules that see a whole leaf or the whole tree follow their NumPy oracles, in float64.

Gradients are given, of scales 1e-1 to 1e1 by coordinate, about a mean that turns at every eighth
step, so that there is a distance to find, and with a step of zeros; one leaf starts at zero. What
float32 makes of these rules is in the contract: a sign or an eigenbasis of rounding is no oracle's.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import every
from oracle_options import STEPS, WAVES
from oracles import ORACLES
from oracles.tree_rules import TREE_ORACLES
from test_oracles import schedule
from tree_options import DEFAULTS, GLOBAL, OPTIONS, RATES

import adaptive_optax as ao

# Of the largest value that a leaf reached. Measured: up to 2e-14, SOAP's 1e-11, whose bases come
# from eigh and qr of two libraries.
TOLERANCE = {"soap": 1e-9}
ALL = {**ORACLES, **TREE_ORACLES}
SHAPES = {"cube": (2, 2, 5), "matrix": (5, 4), "scalar": (), "vector": (6,), "zeros": (3,)}


class Case(NamedTuple):
    """One rule with its options."""

    name: str
    options: dict[str, Any]


CASES = [
    Case(name, {**options, "learning_rate": rate})
    for name, rows in OPTIONS.items()
    for options in rows
    for rate in RATES.get(name, (0.1, WAVES))
]


def by_options(case: Case) -> str:
    """The case in a test's id."""
    words = (
        f"{k}={'schedule' if isinstance(v, np.ndarray) else v}" for k, v in case.options.items()
    )
    return f"{case.name}({','.join(words)})"


def data() -> tuple[dict, dict, dict]:
    """Starts, gradients of each step, shapes (STEPS, ...), and estimates of a Hessian, by leaf."""
    draw = np.random.default_rng(5)
    start, gradients, hessians = {}, {}, {}
    turns = np.where(np.arange(STEPS) // 8 % 2, -1, 1)
    for leaf, shape in SHAPES.items():
        start[leaf] = draw.uniform(-2, 2, shape) * (leaf != "zeros")
        scale = 10 ** draw.uniform(-1, 1, shape)
        constant = np.multiply.outer(turns, draw.choice([-1, 1], shape))
        gradients[leaf] = (draw.standard_normal((STEPS, *shape)) + constant) * scale
        gradients[leaf][5] = 0
        hessians[leaf] = draw.standard_normal((STEPS, *shape)) * 100
    return start, gradients, hessians


def build(library: Any, case: Case) -> optax.GradientTransformation:
    """The case's optimizer from `library`, which is ours or a mutant of it."""
    options = {key: schedule(value) for key, value in case.options.items()}
    rate = options.pop("learning_rate")
    wrapper, _, inner = case.name.rpartition("_")
    if wrapper == "schedule_free":
        own = {key: options.pop(key) for key in ("b1", "weight_power") if key in options}
        given = {"b1": 0.0, "weight_decay": 0.0, **options} if inner == "adam" else options
        make = library.adamw if inner == "adam" else library.sgd
        return library.schedule_free(make(rate, **given), **own)
    if wrapper == "cautious":
        given = {**DEFAULTS[case.name], **options}
        return library.cautious(getattr(library, inner)(rate, **given))
    return getattr(library, case.name)(rate, **options)


def follow(
    tx: optax.GradientTransformation, steps: int = STEPS, called: bool = False
) -> tuple[dict, dict]:
    """Paths of the parameters in training and of those to evaluate, in NumPy, by leaf.

    The estimates of a Hessian are given as a tree or, to be called, as a function.
    """
    start, *sequences = data()

    def step(carry, at):
        params, state = carry
        grads, hessian = at
        given = (lambda _: hessian) if called else hessian
        updates, state = tx.update(grads, state, params, hessian=given)
        params = optax.apply_updates(params, updates)
        return (params, state), (params, ao.eval_params(state, params))

    with jax.enable_x64(True):
        start = jax.tree.map(jnp.asarray, start)
        cut = jax.tree.map(lambda x: jnp.asarray(x[:steps]), tuple(sequences))
        found = jax.lax.scan(step, (start, tx.init(start)), cut)[1]
        return jax.tree.map(np.asarray, found)


def expected(case: Case, steps: int = STEPS) -> tuple[dict, dict | None]:
    """The oracle's paths, by leaf; None for what it does not average."""
    start, gradients, hessians = data()
    cut = {key: v[:steps] if isinstance(v, np.ndarray) else v for key, v in case.options.items()}
    options = {**DEFAULTS[case.name], **cut}
    rate, oracle = options.pop("learning_rate"), ALL[case.name]
    if case.name in GLOBAL:
        whole = np.concatenate([gradients[leaf].reshape(STEPS, -1) for leaf in SHAPES], 1)
        at = np.concatenate([start[leaf].ravel() for leaf in SHAPES])
        paths = oracle(whole[:steps], at, rate, **options)
        paths = paths if isinstance(paths, tuple) else (paths, None)
        return tuple(None if path is None else _leaves(path) for path in paths)
    found: list[dict] = [{}, {}]
    for leaf in SHAPES:
        extra = {"hessian": hessians[leaf][:steps]} if case.name == "sophia" else {}
        paths = oracle(gradients[leaf][:steps], start[leaf], rate, **options, **extra)
        for each, path in zip(found, paths if isinstance(paths, tuple) else (paths,), strict=False):
            each[leaf] = path
    return found[0], found[1] or None


def _leaves(path: np.ndarray) -> dict[str, np.ndarray]:
    leaves, at = {}, 0
    for leaf, shape in SHAPES.items():
        size = int(np.prod(shape))
        leaves[leaf] = path[:, at : at + size].reshape(-1, *shape)
        at += size
    return leaves


def check(library: Any, case: Case, steps: int = STEPS) -> None:
    """Fails unless the library's optimizer follows the oracle within the tolerance."""
    with jax.enable_x64(True):
        tx = build(library, case)
    exact = expected(case, steps)
    for called in (False, True) if case.name == "sophia" else (False,):
        for path, truth in zip(follow(tx, steps, called), exact, strict=True):
            for leaf in truth or ():
                error = np.max(np.abs(path[leaf] - truth[leaf])) / np.max(np.abs(truth[leaf]))
                assert error < TOLERANCE.get(case.name, 1e-12), (
                    f"{by_options(case)} is off by {error:.1e} in {leaf}"
                )


@pytest.mark.parametrize("case", every(3, CASES), ids=by_options)
def test_follows_the_oracle(case):
    check(ao, case)


VIEWS = [("muon", {}), ("soap", {"every": 3, "eps": 1e-2}), ("soap", {"block_size": 2, "every": 3})]


def check_views(library: Any, name: str, options: dict[str, Any], steps: int = 6) -> None:
    """Fails unless a stack follows the oracle matrix by matrix, and trailing outputs as columns."""
    options = {**options, "scale": "rms"} if name == "muon" else options
    draw = np.random.default_rng(3)
    views = {"outputs": library.MatrixView(outputs=2), "stack": library.MatrixView(stacked=1)}
    start = {"outputs": draw.standard_normal((3, 2, 2)), "stack": draw.standard_normal((2, 4, 3))}
    gradients = {leaf: draw.standard_normal((steps, *p.shape)) for leaf, p in start.items()}
    gradients["stack"] *= np.array([1.0, 100.0])[:, None, None]
    with jax.enable_x64(True):
        tx = getattr(library, name)(0.1, **options, matrices=views)
        params, found = jax.tree.map(jnp.asarray, start), []
        state = tx.init(params)
        for t in range(steps):
            grads = {leaf: jnp.asarray(g[t]) for leaf, g in gradients.items()}
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            found.append(jax.tree.map(np.asarray, params))

    def path(gradients, start):
        return ALL[name](gradients, start, 0.1, **{**DEFAULTS[name], **options})

    flat = path(gradients["outputs"].reshape(steps, 3, 4), start["outputs"].reshape(3, 4))
    each = [path(gradients["stack"][:, i], start["stack"][i]) for i in range(2)]
    exact = {"outputs": flat.reshape(steps, 3, 2, 2), "stack": np.stack(each, 1)}
    for leaf, truth in exact.items():
        np.testing.assert_allclose(
            np.stack([p[leaf] for p in found]), truth, atol=1e-9, err_msg=f"{name} {leaf}"
        )


@pytest.mark.parametrize(("name", "options"), VIEWS)
def test_views_follow_the_oracle_matrix_by_matrix(name, options):
    check_views(ao, name, options)
