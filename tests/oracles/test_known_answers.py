"""What the mathematics says of the rules, asked of the oracles before anything else is."""

import numpy as np
import pytest

from . import (
    ORACLES,
    adadelta,
    adagrad,
    adam,
    adamw,
    lion,
    lookahead_adam,
    lookahead_sgd,
    nadam,
    radam,
    rmsprop,
    sgd,
)

ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}


def steps(oracle, gradients, rate=1.0, start=0.0, **arguments):
    """How far each step goes down, in units of `rate`, shape (T,)."""
    path = oracle(np.asarray(gradients, dtype=np.float64), start, rate, **arguments)
    return -np.diff(path, prepend=start) / rate


def descend(oracle, gradient, start, count, rate, **arguments):
    """The path of a rule in a field of gradients, shape (count,), replayed for every step."""
    gradients, path = [], []
    for t in range(count):
        gradients.append(gradient(path[-1] if t else start, t))
        path.append(oracle(np.array(gradients), start, rate, **arguments)[-1])
    return np.array(path)


CONSTANT = [
    (adam, ADAM, [1, 1, 1, 1]),
    (adamw, {**ADAM, "weight_decay": 0.0}, [1, 1, 1, 1]),
    (lion, {"b1": 0.9, "b2": 0.99}, [1, 1, 1, 1]),
    (adagrad, {"eps": 1e-10}, [1, 2**-0.5, 3**-0.5, 0.5]),
    (rmsprop, {"decay": 0.9, "eps": 1e-8}, [0.1**-0.5, 0.19**-0.5, 0.271**-0.5]),
    (rmsprop, {"decay": 0.99, "eps": 1e-8}, [10]),
    (adadelta, {"rho": 0.9, "eps": 1e-6}, [3 * (1e-6 / (0.9 + 1e-6)) ** 0.5]),
]


@pytest.mark.parametrize(("oracle", "arguments", "expected"), CONSTANT)
def test_steps_under_the_constant_gradient_3(oracle, arguments, expected):
    found = steps(oracle, [3.0] * len(expected), **arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-7)  # eps takes 1e-8 of it


def test_figures_of_rmsprop_and_adadelta():
    found = steps(rmsprop, [3.0] * 3, decay=0.9, eps=1e-8)
    np.testing.assert_allclose(found, [3.162, 2.294, 1.921], atol=5e-4)
    found = steps(adadelta, [3.0], rho=0.9, eps=1e-6)
    np.testing.assert_allclose(found, [3.162e-3], atol=5e-7)


def test_radam_begins_with_momentum_and_rectifies_from_the_sixth_step():
    found = steps(radam, [3.0] * 7, **ADAM, threshold=5.0)
    np.testing.assert_allclose(found, [3, 3, 3, 3, 3, 0.02582, 0.03274], rtol=2e-4)
    found = steps(radam, [3.0] * 6, **ADAM)  # the paper's threshold 4: one step earlier
    np.testing.assert_allclose(found, [3, 3, 3, 3, 0.01731, 0.02582], rtol=3e-4)
    found = steps(radam, [3.0] * 6, **ADAM, threshold=5.0, before_rectification="skip")
    np.testing.assert_allclose(found, [0, 0, 0, 0, 0, 0.02582], rtol=2e-4)


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ({"b1": 0.9, "scheduled_average": False, "correct_nu": False}, 1.0565),  # torch
        (
            {
                "b1": 0.9,
                "scheduled_average": False,
                "correct_nu": False,
                "momentum_decay": 1.0,
            },
            1.0628,  # Keras
        ),
        ({"b1": 0.9, "correct_nu": False, "momentum_decay": None}, 1.4737),  # optax
        ({"b1": 0.9, "correct_nu": False}, 1.3104),  # Dozat's but for the factor b2
        ({"b1": 0.9}, 1.3111),  # Dozat's rule
        ({"b1": 0.99}, 1.3319),  # Dozat's rule and constants
    ],
)
def test_first_step_of_nadam_tells_its_forms_apart(arguments, first):
    found = steps(nadam, [3.0], b2=0.999, eps=1e-8, **arguments)
    np.testing.assert_allclose(found, [first], atol=5e-5)


MU = 0.9
LIMITS = [
    ({}, 2.0),
    ({"momentum": MU}, 2 * (1 + MU)),
    ({"momentum": MU, "nesterov": True}, 2 * (1 + MU) / (1 + 2 * MU)),
]


@pytest.mark.parametrize(("arguments", "limit"), LIMITS)
def test_a_quadratic_is_stable_up_to_the_limit_and_not_beyond(arguments, limit):
    curvature = 4.0
    for factor, bound in ((0.99, np.less), (1.01, np.greater)):
        rate = factor * limit / curvature
        path = descend(sgd, lambda p, t: curvature * p, 1.0, 200, rate, **arguments)
        assert bound(np.abs(path[-20:]).max(), 0.1 if factor < 1 else 10.0)


def test_stationary_variance_of_momentum_on_a_noisy_quadratic():
    """The rule is linear: the variance is the sum of the squares of its response to one kick."""
    curvature, rate = 2.0, 0.25
    path = descend(sgd, lambda p, t: curvature * p + (t == 0), 0.0, 300, rate, momentum=MU)
    expected = rate / curvature * (1 + MU) / ((1 - MU) * (2 * (1 + MU) - rate * curvature))
    np.testing.assert_allclose(np.sum(path**2), expected, rtol=1e-9)


@pytest.mark.parametrize("start", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize(
    ("oracle", "arguments", "power", "end"),
    [
        (adam, {"b1": 0.0, "b2": 0.1, "eps": 1e-8}, 0.5, 1.0),
        (rmsprop, {"decay": 0.1, "eps": 1e-8}, 0.5, 1.0),
        (sgd, {}, 0.5, -1.0),
        (adagrad, {"eps": 1e-10}, 0.0, -1.0),
    ],
)
def test_reddi_leads_astray_those_that_forget(oracle, arguments, power, end, start):
    """Reddi, Kale & Kumar, 2018: gradient 3 every third step, else -1, on [-1, 1]: best is -1.

    The rate is 0.1 / sqrt(t). AdaGrad's is 0.1, as its sum of squares brings the root of t: divided
    by it twice, it would go the right way, but as slowly as a logarithm.
    """
    t = np.arange(1, 6001)
    rate = 0.1 / t**power
    p = start
    for step in steps(oracle, np.where(t % 3 == 1, 3.0, -1.0), rate, **arguments) * rate:
        p = np.clip(p - step, -1.0, 1.0)
    assert abs(p - end) < 0.02


def test_decay_under_zero_gradients_is_a_product():
    zeros, rate = np.zeros(50), 0.1 / np.arange(1, 51)
    for independent, factors in ((False, 1 - 0.2 * rate), (True, np.full(50, 0.8))):
        path = adamw(zeros, 3.0, rate, **ADAM, weight_decay=0.2, independent_decay=independent)
        np.testing.assert_allclose(path, 3 * np.cumprod(factors), rtol=1e-13)
    path = adamw(zeros, 3.0, rate, **ADAM, weight_decay=2 * rate, independent_decay=True)
    np.testing.assert_allclose(path, 3 * np.cumprod(1 - 2 * rate), rtol=1e-13)
    path = lion(zeros, 3.0, rate, b1=0.9, b2=0.99, weight_decay=0.2)
    np.testing.assert_allclose(path, 3 * np.cumprod(1 - 0.2 * rate), rtol=1e-13)


SCALE_FREE = [
    ("adagrad", {}),
    ("rmsprop", {"decay": 0.9}),
    ("rmsprop", {"decay": 0.9, "centered": True, "momentum": 0.5}),
    ("adam", {"b1": 0.9, "b2": 0.999}),
    ("adamw", {"b1": 0.9, "b2": 0.999, "weight_decay": 0.1}),
    ("nadam", {"b1": 0.9, "b2": 0.999}),
    ("radam", {"b1": 0.9, "b2": 0.99, "before_rectification": "skip"}),
]


@pytest.mark.parametrize(
    ("name", "arguments", "placement"),
    [
        (name, arguments, placement)
        for name, arguments in SCALE_FREE
        for placement in ("outside", "inside", "uncorrected")
        if placement != "uncorrected" or "b2" in arguments
    ],
)
def test_scale_free_rules_ignore_the_scale_once_eps_follows_it(name, arguments, placement):
    """AdaDelta is not among them: its eps sets the size of the step as well."""
    gradients = np.random.default_rng(0).standard_normal((40, 3))
    scale, eps = 1024.0, 1e-2
    paths = [
        ORACLES[name](c * gradients, np.ones(3), 0.1, eps=e, eps_placement=placement, **arguments)
        for c, e in ((1.0, eps), (scale, eps * scale ** (2 if placement == "inside" else 1)))
    ]
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-11)


def test_lion_ignores_the_scale():
    gradients = np.random.default_rng(0).standard_normal((40, 3))
    paths = [lion(c * gradients, np.ones(3), 0.1, b1=0.9, b2=0.99) for c in (1.0, 1024.0)]
    np.testing.assert_array_equal(*paths)


@pytest.mark.parametrize("at_sync", ["keep", "pullback"])
def test_lookahead_of_whole_steps_is_its_inner_rule(at_sync):
    gradients = np.random.default_rng(0).standard_normal((40, 3))
    whole = {"every": 1, "step_size": 1.0, "at_sync": at_sync}
    for outer, inner, arguments in (
        (lookahead_sgd, sgd, {"momentum": 0.9}),
        (lookahead_adam, adam, ADAM),
    ):
        expected = inner(gradients, np.ones(3), 0.1, **arguments)
        for path in outer(gradients, np.ones(3), 0.1, **arguments, **whole):
            np.testing.assert_allclose(path, expected, rtol=1e-12)


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
        found = lookahead_sgd(
            np.ones(5), 0.0, 1.0, momentum=0.5, every=2, step_size=0.5, at_sync=at_sync
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15, err_msg=at_sync)
