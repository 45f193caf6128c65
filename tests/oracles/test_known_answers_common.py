"""What holds for many of the rules after Adam: how they decay, scale, and fare with Reddi."""

import numpy as np
import pytest

from . import (
    ORACLES,
    adafactor,
    adam,
    adamax,
    adopt,
    amsgrad,
    mars,
    sophia,
    yogi,
)
from .test_known_answers import ADAM, steps
from .test_known_answers_field import (
    ADAN,
    ADEMAMIX,
    ADOPT,
    CURVATURE,
    GRADIENTS,
    MARS,
    PLAIN,
    SOPHIA,
    START,
    YOGI,
)

DECAYS = [
    ("amsgrad", ADAM),
    ("adamax", {"b1": 0.9, "b2": 0.999}),
    ("adabelief", ADAM),
    ("yogi", YOGI),
    ("nadamw", ADAM),
    ("ademamix", ADEMAMIX),
    ("mars", {**MARS, "eps": 1e-8}),
    ("sophia", {**SOPHIA, "hessian": np.ones(50)}),
    ("adafactor", {**PLAIN, "eps": 1e-30}),
    ("lars", {"momentum": 0.0, "trust_coefficient": 1.0}),
]


@pytest.mark.parametrize(("name", "arguments"), DECAYS)
def test_decay_under_zero_gradients_is_a_product(name, arguments):
    rate = 0.1 / np.arange(1, 51)
    for decay in (0.2, np.linspace(0.1, 0.3, 50)):
        path = ORACLES[name](np.zeros(50), 3.0, rate, **arguments, weight_decay=decay)
        factors = 1 - rate * (1 if name == "lars" else decay)  # q takes LARS' decay out again
        np.testing.assert_allclose(path, 3 * np.cumprod(factors), rtol=1e-12)


SCALE_FREE = [  # name, arguments, the options that follow the scale and by which power
    ("amsgrad", {**ADAM, "eps_placement": "inside"}, {"eps": 2}),
    *(("amsgrad", {**ADAM, "bias_correction": kind}, {"eps": 1}) for kind in ("before", "after")),
    ("adamax", {"b1": 0.9, "b2": 0.99}, {}),
    ("adamax", {**ADAM, "eps_placement": "inside"}, {"eps": 1}),
    ("adabelief", {**ADAM, "eps_root": 1e-4}, {"eps": 1, "eps_root": 2}),
    (
        "yogi",
        {**YOGI, "initial_accumulator_value": 0.1},
        {"eps": 1, "initial_accumulator_value": 2},
    ),
    ("nadamw", {**ADAM, "weight_decay": 0.1}, {"eps": 1}),
    ("lamb", {**ADAM, "eps_root": 1e-4, "weight_decay": 0.1}, {"eps": 1, "eps_root": 2}),
    ("lars", {"momentum": 0.9, "trust_coefficient": 0.1, "eps": 1e-2}, {"eps": 1}),
    ("adafactor", {**PLAIN, "eps": 1e-2, "clipping_threshold": 1.0}, {"eps": 2}),
    ("adan", {**ADAN, "eps": 1e-2, "eps_placement": "inside"}, {"eps": 2}),
    ("ademamix", {**ADEMAMIX, "warmup_steps": 20}, {"eps": 1}),
    ("adopt", ADOPT, {"eps": 1}),
]


@pytest.mark.parametrize(("name", "arguments", "powers"), SCALE_FREE)
def test_scale_free_rules_ignore_the_scale_once_eps_follows_it(name, arguments, powers):
    """MARS does so only while its clip is at work, and Sophia if the curvature follows."""
    if "eps" in powers:
        arguments = {**arguments, "eps": 1e-2}
    scaled = {key: arguments[key] * 1024.0**power for key, power in powers.items()}
    one = ORACLES[name](GRADIENTS, START, 0.1, **arguments)
    other = ORACLES[name](1024 * GRADIENTS, START, 0.1, **{**arguments, **scaled})
    np.testing.assert_allclose(other, one, rtol=1e-11)


def test_mars_and_sophia_ignore_the_scale_on_their_conditions():
    large = 100 * GRADIENTS
    one, other = (mars(c * large, START, 0.1, **MARS) for c in (1, 1024))
    np.testing.assert_allclose(other, one, rtol=1e-12)
    small = mars(1e-3 * large, START, 0.1, **MARS)
    assert np.abs(small - one).max() > 1e-2
    one, other = (
        sophia(c * GRADIENTS, START, 0.1, hessian=c * CURVATURE, **SOPHIA) for c in (1, 1024)
    )
    np.testing.assert_array_equal(one, other)


FORGETFUL = {"b1": 0.0, "b2": 0.1, "eps": 1e-8}
REDDI = [
    (adam, FORGETFUL, 0.5, 1.0),
    (amsgrad, FORGETFUL, 0.5, -1.0),  # the maximum makes it SGD
    (amsgrad, {**FORGETFUL, "bias_correction": "after"}, 0.5, -1.0),
    (amsgrad, {**FORGETFUL, "bias_correction": "before"}, 0.5, -1.0),
    (adopt, FORGETFUL, 0.5, -1.0),  # for any b2: the gradient 3 is divided by what came before it
    (adopt, {**FORGETFUL, "b2": 0.01}, 0.5, -1.0),
    (yogi, {**FORGETFUL, "b2": 0.99}, 0.5, -1.0),
    (yogi, FORGETFUL, 0.5, -1.0),
    (adamax, {"b1": 0.0, "b2": 0.1}, 0.5, 1.0),  # the sign alone: -1 is twice as frequent
    (adamax, {"b1": 0.0, "b2": 0.999}, 0.5, -1.0),  # 0.999^3 of 3 is there when 3 comes again
    (mars, {**FORGETFUL, "b2": 0.999, "gamma": 0.0}, 0.5, 1.0),  # the clip leaves the sign
    (sophia, {**SOPHIA, "b1": 0.0, "hessian": np.zeros(6000)}, 0.5, 1.0),
    (adafactor, PLAIN, 0.5, -1.0),
    # V goes to the mean 11/3, so that the clip at 1 takes 3 / 1.91 to 1, and 2 / 1.91 outweighs it
    (adafactor, {**PLAIN, "clipping_threshold": 1.0}, 0.25, 1.0),
]


@pytest.mark.parametrize(("oracle", "arguments", "power", "end"), REDDI)
def test_reddi_leads_astray_those_that_forget_or_clip(oracle, arguments, power, end):
    """Reddi, Kale & Kumar, 2018: gradient 3 every third step, else -1, on [-1, 1]: best is -1.

    The rate is 0.3 / t^power.
    """
    t = np.arange(1, 6001)
    rate = 0.3 / t**power
    moves = steps(oracle, np.where(t % 3 == 1, 3.0, -1.0), rate, **arguments) * rate
    for p in (-1.0, 0.0, 1.0):
        for move in moves:
            p = np.clip(p - move, -1.0, 1.0)
        assert abs(p - end) < 0.05
