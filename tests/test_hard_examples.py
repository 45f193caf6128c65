"""Weights of examples against plain loops, and what they keep to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import every

import adaptive_optax as ao

weights_of = ao.hard_example_weights
MODES = ("hardest", "hard_negatives", "importance")


def plain(losses, mode, keep=0.25, rare=None, ratio=3.0, power=1.0, balance=1.0, mask=None):
    """The weights by plain loops over Python lists."""
    counted = [i for i, x in enumerate(losses) if np.isfinite(x) and (mask is None or mask[i])]
    by_loss = sorted(counted, key=lambda i: -losses[i])  # sorted is stable
    raw = dict.fromkeys(range(len(losses)), 0.0)
    rares = [i for i in counted if rare is not None and rare[i]]
    share = max(1, int(np.floor(keep * len(counted) + 0.5)))
    if mode == "hardest" or (mode == "hard_negatives" and not rares):
        raw |= dict.fromkeys(by_loss[:share], 1.0)
    elif mode == "hard_negatives":
        others = [i for i in by_loss if i not in rares]
        raw |= dict.fromkeys(rares + others[: int(np.floor(ratio * len(rares) + 0.5))], 1.0)
    else:
        for i in counted:
            size = len(rares) if i in rares else len(counted) - len(rares)
            effective = size if balance == 1 else (1 - balance**size) / (1 - balance)
            raw[i] = max(losses[i], 0) ** power / (1 if rare is None else effective)
    total = sum(raw.values())
    return [x * len(counted) / total if total else 0.0 for x in raw.values()]


OPTIONS = [
    {"mode": "hardest"},
    {"mode": "hardest", "keep": 0.1},
    {"mode": "hardest", "keep": 1.0},
    {"mode": "hardest", "keep": 0.7},
    {"mode": "hard_negatives"},
    {"mode": "hard_negatives", "ratio": 1.5},
    {"mode": "hard_negatives", "ratio": 0.0},
    {"mode": "hard_negatives", "ratio": 1e30},
    {"mode": "importance"},
    {"mode": "importance", "power": 2.5},
    {"mode": "importance", "power": 0.0},
    {"mode": "importance", "power": 0.5, "balance": 0.0},
    {"mode": "importance", "power": 1.0, "balance": 0.9},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_they_are_those_of_plain_loops(options):
    weigh = jax.jit(lambda x, rare, mask: weights_of(x, rare=rare, mask=mask, **options))
    for seed in range(12):
        draw = np.random.default_rng(seed)
        losses = np.round(draw.exponential(1.0, 20), 1).astype("float32")  # with ties
        losses[draw.integers(20, size=2)] = [np.nan, np.inf]
        rare = draw.random(20) < (0.0 if seed == 0 else 1.0 if seed == 1 else 0.2)
        mask = draw.random(20) < (0.0 if seed == 2 else 0.8)
        found = weigh(losses, rare, mask)
        exact = plain(losses.tolist(), rare=rare, mask=mask, **options)
        np.testing.assert_allclose(found, exact, rtol=1e-5)
        if counted := np.sum(mask & np.isfinite(losses)):
            np.testing.assert_allclose(np.sum(found) / counted, 1.0, rtol=1e-5)


def test_of_equal_losses_the_first_are_chosen_and_as_many_as_asked():
    found = weights_of(jnp.ones(8), keep=0.5)
    assert found.tolist() == [2.0] * 4 + [0.0] * 4
    rare = jnp.array([False, True] + [False] * 6)
    found = weights_of(jnp.zeros(8), mode="hard_negatives", rare=rare)
    assert found.tolist() == [2.0] * 4 + [0.0] * 4


def test_without_a_rare_example_the_hardest_are_chosen():
    losses, rare = jnp.arange(8.0), jnp.zeros(8, bool)
    found = weights_of(losses, mode="hard_negatives", rare=rare)
    np.testing.assert_array_equal(found, weights_of(losses))
    for mode in MODES:
        found = weights_of(losses, mode=mode, rare=~rare)
        assert np.all(np.isfinite(found))
        np.testing.assert_allclose(np.mean(found), 1.0, rtol=1e-6)


def test_balance_gives_each_class_the_same_weight():
    rare = jnp.array([True] + [False] * 9)
    found = weights_of(jnp.ones(10), mode="importance", rare=rare)
    np.testing.assert_allclose(found, [5.0] + [5 / 9] * 9, rtol=1e-6)
    found = weights_of(jnp.ones(10), mode="importance", rare=rare, balance=0.0)
    np.testing.assert_allclose(found, 1.0)


@pytest.mark.parametrize("mode", MODES)
def test_an_example_without_a_finite_loss_weighs_nothing(mode):
    rare = jnp.array([True, False, True, False])
    losses = jnp.array([jnp.nan, jnp.inf, 1.0, -jnp.inf])
    assert weights_of(losses, mode=mode, rare=rare).tolist() == [0.0, 0.0, 1.0, 0.0]
    assert weights_of(losses * jnp.nan, mode=mode, rare=rare).tolist() == [0.0] * 4
    assert weights_of(jnp.zeros(0), mode=mode, rare=jnp.zeros(0, bool)).shape == (0,)


def test_losses_below_zero_and_all_zero():
    assert weights_of(jnp.array([-1.0, 3.0]), mode="importance").tolist() == [0.0, 2.0]
    assert weights_of(jnp.array([-1.0, -3.0]), mode="importance").tolist() == [1.0, 1.0]
    assert weights_of(jnp.array([-1.0, -3.0]), keep=0.5).tolist() == [2.0, 0.0]


@pytest.mark.parametrize("scale", [1e-37, 1e38])
def test_powers_neither_overflow_nor_vanish(scale):
    losses = jnp.array([1.0, 2.0, 3.0])
    found = weights_of(losses * scale, mode="importance", power=4.0)
    exact = weights_of(losses, mode="importance", power=4.0)
    np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_the_gradient_is_that_of_the_weighed_losses():
    """With the weights taken as they are, and none for an example whose loss is not finite."""
    weights = weights_of(jnp.array([1.0, 4.0, jnp.inf]), mode="importance")

    def loss(losses):
        own = weights_of(losses, mode="importance")
        return jnp.sum(jnp.where(own > 0, own * losses, 0.0)) / jnp.maximum(jnp.sum(own), 1.0)

    found = jax.grad(loss)(jnp.array([1.0, 4.0, jnp.inf]))
    np.testing.assert_allclose(found, weights / 2, rtol=1e-6)


@pytest.mark.parametrize("mode", every(3, [*MODES]))
def test_any_shape_and_dtype(mode):
    draw = np.random.default_rng(0)
    losses = jnp.asarray(draw.exponential(1.0, (4, 6)), jnp.bfloat16)
    rare = jnp.asarray(draw.random((4, 6)) < 0.2)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        whole = weights_of(losses, mode=mode, rare=rare)
        each = jax.vmap(lambda x, r: weights_of(x, mode=mode, rare=r))(losses, rare)
        wrong = weights_of(jnp.array([0, 1, 1, 0]), mode=mode, rare=rare[0, :4])
    assert (whole.shape, str(whole.dtype), str(wrong.dtype)) == ((4, 6), "float32", "float32")
    flat = weights_of(losses.ravel(), mode=mode, rare=rare.ravel())
    np.testing.assert_allclose(whole.ravel(), flat, rtol=1e-6)
    for row, x, r in zip(each, losses, rare, strict=True):
        np.testing.assert_allclose(row, weights_of(x, mode=mode, rare=r), rtol=1e-6)


def test_options_may_be_traced():
    losses, rare = jnp.arange(8.0), jnp.arange(8) > 5
    for mode, option in (
        ("hardest", "keep"),
        ("hard_negatives", "ratio"),
        ("importance", "power"),
        ("importance", "balance"),
    ):

        def weigh(value, mode=mode, option=option):
            return weights_of(losses, mode=mode, rare=rare, **{option: value})

        together = jax.vmap(weigh)(jnp.array([0.5, 1.0]))
        np.testing.assert_allclose(together, [weigh(0.5), weigh(1.0)], rtol=1e-6)


LOSSES = jnp.ones(3)


@pytest.mark.parametrize(
    ("losses", "options", "kind", "words"),
    [
        (LOSSES, {"mode": "hard"}, ValueError, r"\(mode='hard'\): mode must be one of 'hardest',"),
        (LOSSES, {"keep": 0.0}, ValueError, r"\(keep=0\.0\): keep must be finite and above 0"),
        (LOSSES, {"keep": 2.0}, ValueError, r"\(keep=2\.0\): keep must lie in \(0, 1\]"),
        (LOSSES, {"ratio": -1}, ValueError, r"\(ratio=-1\): ratio must be finite and at least 0"),
        (LOSSES, {"power": -1}, ValueError, r"\(power=-1\): power must be finite and at least 0"),
        (LOSSES, {"balance": 2}, ValueError, r"\(balance=2\): balance must lie in \[0, 1\]"),
        (LOSSES, {"keep": "all"}, TypeError, r"\(keep='all'\): keep must be a number or a scalar"),
        (
            LOSSES,
            {"mode": "hard_negatives"},
            ValueError,
            r"\(mode='hard_negatives', rare=None\): r",
        ),
        (LOSSES, {"rare": jnp.ones(3)}, TypeError, r"\(rare=array of float32\): rare must be an a"),
        (LOSSES, {"mask": jnp.ones(2, bool)}, ValueError, r"\(mask=array of shape \(2,\)\): mask "),
        (jnp.ones(3, complex), {}, TypeError, r"\(losses=array of complex64\): losses must be rea"),
        (jnp.float32(1), {}, ValueError, r"\(losses=a scalar\): losses must be one number an exam"),
    ],
)
def test_what_is_refused(losses, options, kind, words):
    with pytest.raises(kind, match=f"^hard_example_weights{words}"):
        weights_of(losses, **options)
