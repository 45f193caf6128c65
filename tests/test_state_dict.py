"""The names of state_dict, written out by hand, and what its values are."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from moving import PARAMS, fresh

import adaptive_optax as ao

LEAVES = ("dense/bias", "dense/kernel")
SCHEDULE = optax.linear_schedule(1e-2, 0.0, 100)
ADAM = "count mu/* nu/*"
OURS = ADAM + " rate/now rate/held"
LABELS = {"dense": {"kernel": "matrices", "bias": "v.1"}}


class Layer(NamedTuple):
    W: jax.Array
    b: jax.Array


def names(tx, params=PARAMS):
    found = list(ao.state_dict(tx.init(fresh(params))))
    assert found.pop() == "format"
    return found


def each(text):
    """A name for each leaf where there is a star."""
    return [
        name.replace("*", leaf) for name in text.split() for leaf in LEAVES[: 1 + ("*" in name)]
    ]


NAMED = {
    "optax.adam": (optax.adam(1e-3), ADAM),
    "adam": (ao.adam(1e-3), OURS),
    "adamw": (ao.adamw(SCHEDULE), OURS),
    "chain": (
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(SCHEDULE)),
        ADAM + " scale_by_schedule.count",
    ),
    "lookahead": (
        ao.lookahead(ao.adam(1e-3)),
        "lookahead.count lookahead.anchor/* " + OURS,
    ),
    "lookahead(optax.sgd)": (
        ao.lookahead(optax.sgd(1e-3)),
        "lookahead.count lookahead.anchor/*",
    ),
    "MultiSteps": (
        optax.MultiSteps(optax.adam(1e-3), 4),
        f"multi_steps.mini_step multi_steps.gradient_step {ADAM} multi_steps.acc_grads/*",
    ),
    "masked": (optax.masked(optax.adam(1e-3), True), ADAM),
    "partition": (
        optax.partition({"matrices": optax.adam(1e-3), "v.1": optax.trace(0.9)}, LABELS),
        "matrices:count matrices:mu/dense/kernel matrices:nu/dense/kernel v%2e1:trace/dense/bias",
    ),
    "two of a kind": (
        optax.chain(optax.ema(0.9), optax.ema(0.5)),
        "count ema/* count#2 ema#2/*",
    ),
    "noise": (
        optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(0)), optax.trace(0.9)),
        "add_noise.count add_noise.rng_key add_noise.rng_key/impl trace/*",
    ),
    "inject": (
        optax.inject_hyperparams(optax.sgd)(learning_rate=SCHEDULE),
        "inject_stateful_hyperparams.count inject_stateful_hyperparams.hyperparams/learning_rate "
        "learning_rate:wrapped_schedule.count",
    ),
    "blend": (
        ao.blend({"adam": ao.adam(1e-3), "lion": optax.lion(1e-3)}, (0.5, 0.5)),
        "blend.count blend.weights/adam blend.weights/lion adam:count adam:mu/* adam:nu/* "
        "adam:rate/now adam:rate/held lion:count lion:mu/*",
    ),
    "muon": (
        ao.muon(1e-3),
        "split.chosen:count split.chosen:trace/dense/kernel split.chosen:rate/now "
        "split.chosen:rate/held split.rest:count split.rest:mu/dense/bias "
        "split.rest:nu/dense/bias split.rest:rate/now split.rest:rate/held",
    ),
    "sgd": (ao.sgd(1e-3), "rate/now rate/held"),
    "nothing": (optax.identity(), ""),
}


@pytest.mark.parametrize("name", NAMED)
def test_names(name):
    tx, expected = NAMED[name]
    assert names(tx) == each(expected)


def test_names_do_not_change_with_what_stands_around():
    inner = ao.adam(1e-3)
    for around in (
        optax.chain(optax.clip(1.0), inner, optax.scale(1.0)),
        optax.chain(inner, optax.add_decayed_weights(0.1)),
        ao.lookahead(optax.chain(optax.zero_nans(), inner)),
        ao.cautious(inner),
        ao.monitored(inner),
        ao.stored(inner, ao.bfloat16()),
        ao.multi_steps(optax.apply_if_finite(inner, 3), 2),
        optax.masked(inner, True),
    ):
        assert set(names(inner)) <= set(names(around))


def test_names_of_parameters_of_any_container():
    params = {"a": Layer(np.ones(2), np.ones(1)), "b": [np.ones(3), (None, np.float32(1))]}
    expected = [
        f"{slot}/{leaf}" for slot in ("mu", "nu") for leaf in ("a/W", "a/b", "b/0", "b/1/1")
    ]
    assert names(optax.adam(1e-3), params) == ["count", *expected]
    assert names(optax.adam(1e-3), np.ones(())) == ["count", "mu", "nu"]
    assert names(optax.adam(1e-3), Layer(np.ones(2), np.ones(1)))[1:3] == ["mu/W", "mu/b"]
    assert names(optax.adam(1e-3), {}) == ["count"]
    slashes = {"a/b": np.ones(1), "a": {"b": np.ones(1)}}
    assert names(optax.trace(0.9), slashes) == ["trace/a/b", "trace#2/a/b"]


def test_names_of_nnx_are_those_of_its_parameters():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    found = ao.state_dict(optimizer.opt_state)
    assert list(found)[:-1] == ["count", "mu/bias", "mu/kernel", "nu/bias", "nu/kernel"]
    params = nnx.state(model, nnx.Param)
    assert list(ao.state_dict(optax.adam(1e-3).init(params))) == list(found)


def test_values_are_arrays_that_numpy_knows():
    params = {"w": jnp.ones((128, 128), jnp.bfloat16), "none": jnp.zeros((0, 3))}
    tx = optax.chain(
        optax.add_noise(0.1, 0.5, jax.random.key(3, impl="rbg")),
        ao.rounded(ao.stored(ao.adam(1e-3), ao.int8()), "kahan"),
        optax.trace(0.9),
    )
    saved = ao.state_dict(tx.init(params))
    assert {np.asarray(x).dtype.name for x in saved.values()} <= {
        *("float32", "int32", "uint32", "uint8", "bool")
    }
    assert np.asarray(saved["add_noise.rng_key/impl"]).tobytes() == b"rbg"
    assert saved["mu/w"].shape == (128, 128)
    assert saved["stored.kept/mu/w"].dtype == np.uint8
    assert not [name for name in saved if name.endswith("none")]


def test_large_arrays_are_not_copied():
    state = optax.adam(1e-3).init(fresh())
    assert ao.state_dict(state)["mu/dense/kernel"] is state[0].mu["dense"]["kernel"]


def test_refusals():
    with pytest.raises(TypeError, match=r"state_dict: at \['w'\] the state's leaf is str; call"):
        ao.state_dict({"w": "words"})
    with pytest.raises(TypeError, match="state_dict: at the root the state's leaf is traced"):
        jax.jit(ao.state_dict)(jnp.zeros(2))
    saved = ao.state_dict(optax.trace(0.9).init(jnp.zeros(2)))
    with pytest.raises(TypeError, match=r"load_state_dict: at .trace the state's leaf is traced"):
        jax.jit(lambda p: ao.load_state_dict(optax.trace(0.9), p, saved))(jnp.zeros(2))
