"""What can be worked out by hand of the rules after Adam, asked of their oracles."""

import numpy as np
import pytest

from . import (
    adabelief,
    adafactor,
    adamax,
    adamw,
    adan,
    ademamix,
    adopt,
    amsgrad,
    lamb,
    lars,
    mars,
    nadam,
    nadamw,
    sophia,
    yogi,
)
from .ademamix import schedules
from .test_known_answers import ADAM, steps

DRAW = np.random.default_rng(1)
GRADIENTS, START = DRAW.standard_normal((40, 3, 2)), DRAW.standard_normal((3, 2))
CURVATURE = np.exp(DRAW.standard_normal((40, 3, 2)))
ADAN = {"b1": 0.98, "b2": 0.92, "b3": 0.99, "eps": 0.0}
ADEMAMIX = {**ADAM, "b3": 0.9999, "alpha": 5.0}
ADOPT = {"b1": 0.9, "b2": 0.9999, "eps": 1e-6}
MARS = {"b1": 0.95, "b2": 0.99, "eps": 0.0, "gamma": 0.025}
PLAIN = {  # Adafactor without what is around its second moment
    "decay_rate": 0.8,
    "eps": 0.0,
    "min_scale": 1e-3,
    "clipping_threshold": None,
    "relative_step": False,
    "scale_by_parameter": False,
}
SOPHIA = {"b1": 0.96, "b2": 0.99, "gamma": 0.01, "eps": 1e-12, "every": 10}
YOGI = {"b1": 0.9, "b2": 0.999, "eps": 1e-3}

ROOT = 0.001**0.5  # of 1 - b2
CONSTANT = [
    # (1 - b1^t) / sqrt(1 - b2^t): Adam's step with neither bias corrected
    (amsgrad, ADAM, [0.1 / ROOT, 0.19 / 0.001999**0.5, 0.271 / 0.002997001**0.5]),
    (amsgrad, {**ADAM, "bias_correction": "after"}, [1, 1, 1, 1]),
    (amsgrad, {**ADAM, "bias_correction": "before"}, [1, 1, 1, 1]),
    (adamax, {"b1": 0.9, "b2": 0.999}, [1, 1, 1, 1]),
    (adamax, {"b1": 0.9, "b2": 0.999, "eps": 1.0}, [0.75, 0.75, 0.75]),  # 3 / (3 + 1)
    # g - m is 3 b1^t, and so 2.7 at first, where Adam has 3
    (adabelief, {**ADAM, "eps": 1e-16}, [1 / 0.9, (0.001999 / 0.00146529) ** 0.5]),
    # v rises by 0.009 a step, as long as it is below 9
    (yogi, YOGI, [0.3 / (0.009**0.5 + 1e-3), 0.57 / (0.018**0.5 + 1e-3)]),
    (yogi, {**YOGI, "bias_correction": True}, [3 / 3.001, 3 / ((0.018 / 0.001999) ** 0.5 + 1e-3)]),
    (lamb, {**ADAM, "eps": 1e-6}, [1]),  # from 0, where the ratio is 1
    (lars, {"momentum": 0.5, "trust_coefficient": 1.0}, [3]),  # likewise
    (adafactor, PLAIN, [1, 1, 1, 1]),
    (adafactor, {**PLAIN, "relative_step": True}, [1, 2**-0.5, 3**-0.5, 0.5]),
    (adafactor, {**PLAIN, "scale_by_parameter": True}, [1e-3, 1e-3]),  # min_scale
    (adan, ADAN, [1, 1, 1, 1]),
    (ademamix, ADEMAMIX, [1 + 5 * (1 - 0.9999**t) for t in (1, 2, 3)]),
    (adopt, ADOPT, [0, 0.1, 0.19, 0.271]),
    (mars, MARS, [1, 1, 1, 1]),  # the clip makes all corrected gradients 1
    (mars, {**MARS, "gamma": 0.0}, [1, 1, 1, 1]),
]


@pytest.mark.parametrize(("oracle", "arguments", "expected"), CONSTANT)
def test_steps_under_the_constant_gradient_3(oracle, arguments, expected):
    found = steps(oracle, [3.0] * len(expected), **arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # an eps of 1e-6 takes 3e-7 of it


def test_adabelief_grows_under_a_constant_gradient_to_what_eps_leaves():
    found = steps(adabelief, [3.0] * 200, b1=0.9, b2=0.999, eps=1e-16)
    np.testing.assert_allclose(found[-1], 7.19, atol=5e-3)
    found = steps(adabelief, [3.0] * 3000, b1=0.9, b2=0.99, eps=1e-8)
    np.testing.assert_allclose(found[-1], 3 * (0.01 / 1e-8) ** 0.5, rtol=1e-4)
    arguments = {**ADAM, "eps": 1e-2}
    both = adabelief(GRADIENTS, START, 0.1, **arguments)
    np.testing.assert_array_equal(
        both, adabelief(GRADIENTS, START, 0.1, **arguments, eps_root=1e-2)
    )


def test_the_maximum_of_amsgrad_is_of_raw_or_of_corrected_moments():
    """Gradients 2, 0, 0 and b2 = 0.5: v is 2, 1, 0.5, and corrected 4, 4/3, 4/7."""
    moment = np.array([1.0, 0.5, 0.25])  # m for b1 = 0.5
    mh = moment / np.array([0.5, 0.75, 0.875])
    for kind, expected in (
        ("none", moment / 2**0.5),
        ("after", mh / (2 / np.array([0.5, 0.75, 0.875])) ** 0.5),
        ("before", mh / 2),
    ):
        found = steps(amsgrad, [2.0, 0, 0], b1=0.5, b2=0.5, eps=0.0, bias_correction=kind)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_adamax_remembers_a_large_gradient_by_the_power_of_b2():
    found = steps(adamax, [8.0, 1.0, 1.0, 1.0], b1=0.0, b2=0.5)
    np.testing.assert_allclose(found, [1, 1 / 4, 1 / 2, 1], rtol=1e-12)
    for placement, expected in (("outside", [8 / 9, 1 / 5]), ("inside", [8 / 9, 1 / 4.5])):
        found = steps(adamax, [8.0, 1.0], b1=0.0, b2=0.5, eps=1.0, eps_placement=placement)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(steps(adamax, [0.0, 0.0], b1=0.9, b2=0.999), 0)


def test_yogi_changes_by_the_gradient_and_not_by_its_own_size():
    """After one gradient of 10, v falls by 0.1 a step, where Adam's falls by a tenth of itself."""
    found = steps(yogi, [10.0] + [1.0] * 3, b1=0.0, b2=0.9, eps=0.0)
    np.testing.assert_allclose(found, 1 / np.sqrt([0.1, 9.9, 9.8, 9.7]), rtol=1e-12)
    found = steps(yogi, [2.0], b1=0.0, b2=0.9, eps=0.0, initial_accumulator_value=9.0)
    np.testing.assert_allclose(found, 2 / 8.6**0.5, rtol=1e-12)
    found = steps(yogi, [2.0, 2.0], b1=0.0, b2=0.9, eps=0.0, initial_accumulator_value=4.0)
    np.testing.assert_allclose(found, [1, 1], rtol=1e-12)  # sign(0) = 0


def other_adan(gradients, coefficient, b1, b2, b3):
    """Adan's steps where another number than b2 multiplies the difference."""
    m = v = n = previous = 0.0
    out = []
    for t, g in enumerate(gradients, start=1):
        d = g - previous if t > 1 else 0.0
        previous = g
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * d
        n = b3 * n + (1 - b3) * (g + coefficient * d) ** 2
        u = m / (1 - b1**t) + coefficient * v / (1 - b2**t)
        out.append(u / (n / (1 - b3**t)) ** 0.5)
    return out


def test_adan_has_the_coefficient_b2_and_not_its_complement():
    """Gradients 1 and 2; a constant one tells nothing, as the differences are 0."""
    betas = {key: ADAN[key] for key in ("b1", "b2", "b3")}
    found = steps(adan, [1.0, 2.0], **ADAN)
    np.testing.assert_allclose(found, [1, 0.907359], atol=1e-6)
    np.testing.assert_allclose(other_adan([1.0, 2.0], 0.92, **betas), found, rtol=1e-12)
    np.testing.assert_allclose(other_adan([1.0, 2.0], 0.08, **betas), [1, 0.9463], atol=1e-5)
    np.testing.assert_allclose(other_adan([3.0] * 5, 0.08, **betas), 1.0, rtol=1e-12)


def test_adan_decays_by_a_quotient_or_by_a_difference():
    rate = 0.1 / np.arange(1, 21)
    for proximal, factors in ((True, 1 / (1 + 0.2 * rate)), (False, 1 - 0.2 * rate)):
        arguments = {**ADAN, "eps": 1e-8, "weight_decay": 0.2, "proximal": proximal}
        path = adan(np.zeros(20), 3.0, rate, **arguments)
        np.testing.assert_allclose(path, 3 * np.cumprod(factors), rtol=1e-12)
    # one step from 1, rate 0.5, decay 2, direction 1: (1 - 0.5) / 2, or 1 - 0.5 - 1
    for proximal, expected in ((True, 0.25), (False, -0.5)):
        path = adan(np.ones(1), 1.0, 0.5, **ADAN, weight_decay=2.0, proximal=proximal)
        np.testing.assert_allclose(path, [expected], rtol=1e-12)


def test_ademamix_without_its_slow_average_is_adamw():
    decay = np.linspace(0, 0.2, 40)
    arguments = {**ADAM, "weight_decay": decay, "eps_placement": "inside"}
    found = ademamix(GRADIENTS, START, 0.1, b3=0.99, alpha=0.0, **arguments)
    np.testing.assert_allclose(found, adamw(GRADIENTS, START, 0.1, **arguments), rtol=1e-13)


def test_the_schedules_of_ademamix_begin_at_b1_and_end_at_b3_by_linear_memory():
    """1 / ln b3_t is linear in t: so is the number of steps that the average remembers."""
    assert schedules(0, 0.9, 0.9999, 5.0, 100) == (0.0, pytest.approx(0.9, rel=1e-12))
    for t in (100, 101, 10**6):
        assert schedules(t, 0.9, 0.9999, 5.0, 100) == (5.0, pytest.approx(0.9999, rel=1e-12))
    assert schedules(1, 0.9, 0.9999, 5.0, None) == (5.0, 0.9999)
    for t in (1, 25, 99):
        alpha, b3 = schedules(t, 0.9, 0.9999, 5.0, 100)
        assert alpha == pytest.approx(t / 20)
        memory = (1 - t / 100) / np.log(0.9) + t / 100 / np.log(0.9999)
        assert 1 / np.log(b3) == pytest.approx(memory, rel=1e-9)
    # the first step of T = 2: half of alpha, and b3_1 between the two
    alpha, b3 = schedules(1, 0.9, 0.9999, 5.0, 2)
    found = steps(ademamix, [3.0], **ADEMAMIX, warmup_steps=2)
    np.testing.assert_allclose(found, 1 + alpha * (1 - b3), rtol=1e-7)


def test_adopt_rests_at_first_and_clips_by_the_root_of_the_root_of_time():
    """Gradients 1, 100, 100: at t = 3 v is 0.9999 + 1, and the bound 2^(1/4)."""
    third = 100 / (0.9999 + 1e-4 * 1e4) ** 0.5
    for power, expected in ((0.25, [0, 1, 2**0.25]), (None, [0, 100, third]), (9.0, [0, 1, third])):
        found = steps(adopt, [1.0, 100, 100], **{**ADOPT, "b1": 0.0}, clip_power=power)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    found = steps(adopt, [0.0, 2e-7], **{**ADOPT, "b1": 0.0})  # eps bounds the root from below
    np.testing.assert_allclose(found, [0, 0.2], rtol=1e-12)
    path = adopt(np.zeros(4), 3.0, 0.1, **ADOPT, weight_decay=2.0)  # the decay rests as well
    np.testing.assert_allclose(path, 3 * np.array([1, 0.8, 0.64, 0.512]), rtol=1e-12)


def test_sophia_takes_the_sign_where_the_curvature_is_not_positive():
    for estimate in (0.0, -1e9):
        hessian = np.full_like(GRADIENTS, estimate)
        path = sophia(GRADIENTS, START, 0.1, hessian=hessian, **SOPHIA)
        m, p = 0.0, START
        for g, found in zip(GRADIENTS, path, strict=True):
            m = 0.96 * m + 0.04 * g
            p = p - 0.1 * np.sign(m)
            np.testing.assert_allclose(found, p, rtol=1e-12)


def test_sophia_divides_by_a_large_curvature():
    """m is (1 - b1^t) g, and h, after k estimates, (1 - b2^k) H."""
    t = np.arange(1, 31)
    k = (t - 1) // 10 + 1
    found = steps(sophia, [3.0] * 30, hessian=np.full(30, 1e9), **SOPHIA)
    np.testing.assert_allclose(found, (1 - 0.96**t) * 3 / (0.01 * (1 - 0.99**k) * 1e9), rtol=1e-10)
    newton = {"b1": 0.0, "b2": 0.0, "gamma": 1.0, "eps": 1e-12, "every": 1}
    for start, end in ((0.7, 0.0), (2.5, 1.5)):  # a step of Newton, or as far as the clip allows
        path = sophia(np.array([4 * start]), start, 1.0, hessian=np.array([4.0]), **newton)
        np.testing.assert_allclose(path, [end], atol=1e-15)


def test_sophia_reads_an_estimate_every_so_many_steps():
    rare = np.where((np.arange(40) % 10 == 0)[:, None, None], CURVATURE, np.nan)
    paths = [sophia(GRADIENTS, START, 0.1, hessian=h, **SOPHIA) for h in (CURVATURE, rare)]
    np.testing.assert_array_equal(*paths)


def test_nadamw_is_nadam_and_its_decay():
    arguments = {"b1": 0.99, "b2": 0.999, "eps": 1e-8}
    found = nadamw(GRADIENTS, START, 0.1, weight_decay=0.0, **arguments)
    np.testing.assert_array_equal(found, nadam(GRADIENTS, START, 0.1, **arguments))
    for independent, end in ((False, START - 0.1 * 0.2 * START), (True, START - 0.2 * START)):
        found = nadamw(
            GRADIENTS[:1],
            START,
            0.1,
            weight_decay=0.2,
            independent_decay=independent,
            **arguments,
        )
        undecayed = nadam(GRADIENTS[:1], START, 0.1, **arguments)
        np.testing.assert_allclose(found - undecayed, (end - START)[None], rtol=1e-12)
