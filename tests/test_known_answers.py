"""What the mathematics says of the rules, asked of ours. `oracles/` asks it of the oracles.

Identities hold bit for bit; each tolerance has its reason beside it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import OPTIMIZERS, by_id, every
from problems import grads_of, params_of, run
from test_oracles import follow

import adaptive_optax as ao


def steps(library: Any, rows: list, gradients: Any, dtype: str = "float64") -> list[np.ndarray]:
    """How far each step goes down, one array a row of (name, options), for rate 1 from 0."""
    with jax.enable_x64(dtype == "float64"):
        optimizers = [getattr(library, name)(1.0, **options) for name, options in rows]
        given = jnp.asarray(gradients, dtype)
        found = follow(optimizers, jnp.zeros(given.shape[1:], dtype), given)
    return [-np.diff(moves, axis=0, prepend=0.0 * moves[:1]) for moves, _ in found]


def walk(tx: optax.GradientTransformation, gradient: Any, start: Any, inputs: Any) -> Any:
    """The path in a field of gradients, `gradient(params, input)`; one input a step."""

    def step(carry, at):
        params, state = carry
        updates, state = tx.update(gradient(params, at), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return jax.lax.scan(step, (start, tx.init(start)), inputs)[1]


# Under the constant gradient 3, for learning rate 1. The libraries' Nadams are the torch preset's.
TORCH_NADAM = {"b1": 0.9, "scheduled_average": False, "correct_nu": False}
CONSTANT = [
    ("adam", {}, [1, 1, 1, 1, 1, 1, 1]),
    ("adamw", {"weight_decay": 0.0}, [1, 1, 1, 1, 1, 1, 1]),
    ("lion", {}, [1, 1, 1, 1, 1, 1, 1]),
    ("sgd", {}, [3, 3, 3]),
    ("sgd", {"momentum": 0.5}, [3, 4.5, 5.25]),
    ("sgd", {"momentum": 0.5, "nesterov": True}, [4.5, 5.25, 5.625]),
    ("adagrad", {}, [1, 2**-0.5, 3**-0.5, 0.5]),
    ("rmsprop", {}, [0.1**-0.5, 0.19**-0.5, 0.271**-0.5]),
    ("rmsprop", {"decay": 0.99}, [10]),
    ("rmsprop", {"centered": True}, [(0.1 * 0.9) ** -0.5, (0.19 * 0.81) ** -0.5]),
    ("adadelta", {"rho": 0.9}, [3 * (1e-6 / (0.9 + 1e-6)) ** 0.5]),
]
FIGURES = [  # to the digits given
    ("rmsprop", {}, [3.162, 2.294, 1.921]),
    ("adadelta", {"rho": 0.9}, [3.162e-3]),
    ("radam", {"threshold": 5.0}, [3, 3, 3, 3, 3, 0.02582, 0.03274]),
    ("radam", {}, [3, 3, 3, 3, 0.01731, 0.02582, 0.03274]),  # the paper's threshold, 4
    ("radam", {"threshold": 5.0, "before_rectification": "skip"}, [0, 0, 0, 0, 0, 0.02582]),
    ("nadam", TORCH_NADAM, [1.0565]),
    ("nadam", {**TORCH_NADAM, "momentum_decay": 1.0, "eps": 1e-7}, [1.0628]),  # Keras
    ("nadam", {**TORCH_NADAM, "momentum_decay": None}, [1.4737]),  # optax
    ("nadam", {"b1": 0.9}, [1.3111]),
    ("nadam", {}, [1.3319]),
]


@pytest.mark.parametrize(
    ("rows", "tolerance"),
    [
        (CONSTANT, 1e-7),  # eps takes 1e-8 of it, and of the centered moment's root ten times that
        (FIGURES, 3e-4),  # half a unit of the last digit of 0.01731
    ],
)
def test_steps_under_the_constant_gradient_3(rows, tolerance):
    found = steps(ao, [row[:2] for row in rows], np.full(7, 3.0))
    for (name, options, expected), moves in zip(rows, found, strict=True):
        np.testing.assert_allclose(
            moves[: len(expected)], expected, rtol=tolerance, err_msg=f"{name}({options})"
        )


MU = 0.9
LIMITS = [
    ({}, 2.0),
    ({"momentum": MU}, 2 * (1 + MU)),
    ({"momentum": MU, "nesterov": True}, 2 * (1 + MU) / (1 + 2 * MU)),
]


@pytest.mark.parametrize(("options", "limit"), LIMITS, ids=["plain", "momentum", "nesterov"])
def test_a_quadratic_is_stable_up_to_the_limit_and_not_beyond(options, limit):
    """The slowest mode has the factor 0.98 or 1.02 a step, for momentum about their roots."""
    curvature = 4.0

    def path(rate):
        field = lambda p, _: curvature * p  # noqa: E731
        return walk(ao.sgd(rate, **options), field, jnp.float32(1.0), jnp.arange(500))

    rates = jnp.array([0.99, 1.01]) * limit / curvature
    stable, divergent = jnp.abs(jax.vmap(path)(rates)[:, -20:]).max(1)
    assert stable < 0.1
    assert divergent > 10.0


@pytest.mark.parametrize("momentum", [None, 0.5, 0.9])
def test_stationary_variance_on_a_noisy_quadratic(momentum):
    """Gradient L p + s noise: the variance is eta s^2/L (1+mu) / ((1-mu) (2 (1+mu) - eta L)).

    4,096 chains over 500 steps, correlated for about 20, are 1e5 samples or more: a standard error
    of 0.45 %. After 200 steps what remains of the start is 0.95^200 = 4e-5 of it.
    """
    curvature, rate, noise, mu = 2.0, 0.25, 0.5, momentum or 0.0
    draws = noise * jax.random.normal(jax.random.key(0), (700, 4096))
    path = jax.jit(
        lambda draws: walk(
            ao.sgd(rate, momentum=momentum), lambda p, z: curvature * p + z, draws[0], draws
        )
    )(draws)
    found = np.var(np.asarray(path[200:], np.float64))
    expected = rate * noise**2 / curvature
    expected *= (1 + mu) / ((1 - mu) * (2 * (1 + mu) - rate * curvature))
    np.testing.assert_allclose(found, expected, rtol=0.02)


@pytest.mark.parametrize(
    ("name", "options", "power", "end"),
    [
        ("adam", {"b1": 0.0, "b2": 0.1}, 0.5, 1.0),
        ("rmsprop", {"decay": 0.1}, 0.5, 1.0),
        ("sgd", {}, 0.5, -1.0),
        ("adagrad", {}, 0.0, -1.0),
    ],
)
def test_reddi_leads_astray_those_that_forget(name, options, power, end):
    """Reddi, Kale & Kumar, 2018: gradient 3 every third step, else -1, on [-1, 1]: best is -1.

    The rate is 0.1 / sqrt(t). AdaGrad's is a constant 0.1, as its sum of squares brings the root
    of t: divided by it twice, it would go the right way, but as slowly as a logarithm.
    """
    tx = getattr(ao, name)(lambda count: 0.1 / (count + 1.0) ** power, **options)
    start = jnp.array([-1.0, 0.0, 1.0])

    def step(carry, g):
        params, state = carry
        updates, state = tx.update(jnp.full(3, g), state, params)
        return (jnp.clip(params + updates, -1.0, 1.0), state), None

    gradients = jnp.where(jnp.arange(6000) % 3 == 0, 3.0, -1.0)
    (params, _), _ = jax.jit(lambda g: jax.lax.scan(step, (start, tx.init(start)), g))(gradients)
    np.testing.assert_allclose(params, end, atol=0.02)  # the last steps are 0.1 / sqrt(6000) each


RATES, DECAYS = 0.5 / np.arange(1, 21), 0.2 * np.cos(np.arange(20)) ** 2


@pytest.mark.parametrize(
    ("independent", "decay", "factors"),
    [
        (False, 0.2, 1 - 0.2 * RATES),
        (True, 0.2, np.full(20, 0.8)),
        (False, DECAYS, 1 - DECAYS * RATES),
        (True, DECAYS, 1 - DECAYS),
    ],
    ids=["coupled", "independent", "coupled-schedule", "independent-schedule"],
)
@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_decay_under_zero_gradients_is_a_product(name, independent, decay, factors):
    rates, decays = jnp.asarray(RATES), jnp.asarray(decay)
    tx = getattr(ao, name)(
        lambda count: rates[count],
        weight_decay=decay if decays.ndim == 0 else lambda count: decays[count],
        independent_decay=independent,
    )
    path = walk(tx, lambda p, _: 0.0 * p, jnp.float32(3.0), jnp.arange(20))
    expected = 3 * np.cumprod(factors)
    np.testing.assert_allclose(path, expected, rtol=5e-6)  # 20 steps of a few roundings of 6e-8


SCALE_FREE = [
    ("adagrad", {}),
    ("rmsprop", {}),
    ("rmsprop", {"centered": True, "momentum": 0.5}),
    ("adam", {}),
    ("adamw", {"weight_decay": 0.1}),
    ("nadam", {}),
    ("radam", {"b2": 0.99, "before_rectification": "skip"}),
]
NO_BIAS = ("adagrad", "rmsprop")  # they have no bias to correct, and so no such placement


@pytest.mark.parametrize("placement", ["outside", "inside", "uncorrected"])
def test_scale_free_rules_ignore_the_scale_once_eps_follows_it(placement):
    """Bit for bit, as the scale is a power of two. AdaDelta's eps sets its steps as well."""
    rows = [row for row in SCALE_FREE if placement != "uncorrected" or row[0] not in NO_BIAS]
    gradients, scale, eps = np.random.default_rng(0).standard_normal((20, 3)), 1024.0, 2.0**-6
    one, other = (
        steps(
            ao,
            [(name, {**options, "eps": e, "eps_placement": placement}) for name, options in rows],
            c * gradients,
            "float32",
        )
        for c, e in ((1.0, eps), (scale, eps * scale ** (2 if placement == "inside" else 1)))
    )
    for (name, _), a, b in zip(rows, one, other, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_lion_ignores_the_scale_and_sgd_keeps_it():
    gradients = np.random.default_rng(0).standard_normal((20, 3))
    rows = [("lion", {}), ("sgd", {"momentum": 0.9})]
    (lion, sgd), (scaled_lion, scaled_sgd) = (steps(ao, rows, c * gradients) for c in (1, 1024))
    np.testing.assert_array_equal(lion, scaled_lion)
    np.testing.assert_array_equal(1024 * sgd, scaled_sgd)


@pytest.mark.parametrize("at_sync", ["keep", "pullback"])
@pytest.mark.parametrize("row", every(3, OPTIMIZERS), ids=by_id)
def test_lookahead_of_whole_single_steps_is_its_inner_optimizer(row, at_sync):
    params = params_of()
    gradients = [grads_of(params, seed) for seed in range(4)]
    inner, state, history = run(row.make(), params, gradients)
    outer = ao.lookahead(row.make(), every=1, step_size=1.0, at_sync=at_sync)
    moved, wrapped, updates = run(outer, params, gradients)
    for one, other in (
        (moved, inner),
        (updates, history),
        (wrapped.inner_state, state),
        (ao.eval_params(wrapped, moved), inner),
    ):
        jax.tree.map(np.testing.assert_array_equal, one, other)


def test_lookahead_by_hand():
    """Gradient 1, rate 1, momentum 0.5, every 2, step size 0.5, for five steps from 0."""
    figures = {
        "keep": ([-1, -1.25, -3.0, -3.0625, -5.0], [0, -1.25, -1.25, -3.0625, -3.0625]),
        "reset": ([-1, -1.25, -2.25, -2.5, -3.5], [0, -1.25, -1.25, -2.5, -2.5]),
        "pullback": (
            [-1, -1.25, -2.625, -2.78125, -4.390625],
            [0, -1.25, -1.25, -2.78125, -2.78125],
        ),
    }
    for at_sync, expected in figures.items():
        tx = ao.lookahead(ao.sgd(1.0, momentum=0.5), every=2, step_size=0.5, at_sync=at_sync)
        ((fast, slow),) = follow([tx], jnp.float32(0.0), jnp.ones(5))
        np.testing.assert_array_equal((fast, slow), expected, err_msg=at_sync)


def test_adadelta_descends_with_its_defaults():
    path = walk(ao.adadelta(), lambda p, _: p, jnp.array([1.0, -1.0]), jnp.arange(50))
    assert bool((jnp.diff(jnp.abs(path), axis=0) < 0).all())
