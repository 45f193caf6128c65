"""`stored`: which leaves it keeps how, what that costs, and what it says of a wrong call."""

import functools
from typing import Any, NamedTuple

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from optax import contrib

import adaptive_optax as ao
from adaptive_optax.storage.registry import slots_of

FORMATS = {
    "bfloat16": (ao.bfloat16, 4.0),
    "minifloat8": (ao.minifloat8, 2.0),
    "int8": (ao.int8, 2.0625),
    "int4": (ao.int4, 1.0625),
}
PARAMS = {"kernel": jnp.ones((256, 256)), "bias": jnp.ones(256)}
STORED = ao.stored(optax.adam(0.1), ao.int8())


def waves(p, step):
    return jnp.sin(step + 7 * p + jnp.arange(p.size).reshape(p.shape))


def trained(tx, params=PARAMS, steps=3):
    state = tx.init(params)
    for step in range(steps):
        grads = jax.tree.map(lambda p, step=step: waves(p, step), params)
        _, state = tx.update(grads, state, params)
    return state


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("inner", [optax.adamw, ao.adamw, ao.nadam, optax.amsgrad])
def test_bytes_a_parameter(inner, name):
    make, expected = FORMATS[name]
    params = jax.ShapeDtypeStruct((4096, 4096), jnp.float32)
    found = ao.state_bytes(ao.stored(inner(1e-3), make()), params) / params.size
    assert found == pytest.approx(expected + 4 * (inner is optax.amsgrad), abs=1e-4)
    eager = ao.stored(inner(1e-3), make()).init(jnp.zeros((128, 128)))
    whole = ao.state_bytes(ao.stored(inner(1e-3), make()), jnp.zeros((128, 128)))
    assert sum(x.nbytes for x in jax.tree.leaves(eager)) == whole


@pytest.mark.parametrize(("columns", "expected"), [(4096, 1 + 1 / 32), (4080, 2)])
@pytest.mark.parametrize("inner", [optax.lion, ao.lion, optax.rmsprop])
def test_minifloat8_keeps_a_moment_that_stands_alone_as_int8_does(inner, columns, expected):
    """Or in bfloat16, where blocks of 32 do not divide the last axis."""
    params = jax.ShapeDtypeStruct((4096, columns), jnp.float32)
    found = ao.state_bytes(ao.stored(inner(1e-3), ao.minifloat8()), params) / params.size
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "most"), [("minifloat8", 12.1), ("int8", 12.4), ("bfloat16", 16.1)]
)
def test_the_peak_of_a_compiled_update(name, most):
    """Arguments and temporaries, bytes a parameter; float32 Adam has 20."""
    tx = ao.stored(optax.adamw(1e-3), FORMATS[name][0]())
    params = jax.ShapeDtypeStruct((1024, 1024), jnp.float32)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    memory = step.lower(params, jax.eval_shape(tx.init, params), params).compile().memory_analysis()
    peak = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    assert peak / params.size <= most


def test_a_large_state_starts_in_no_time():
    """Zeros of a large array are not folded by the compiler: it would take half a minute."""
    tx = ao.stored(ao.adam(1e-3), ao.int8())
    lowered = jax.jit(lambda: tx.init(jnp.zeros((2048, 2048)))).lower()
    assert "optimization_barrier" in lowered.as_text()
    assert lowered.compile().memory_analysis().output_size_in_bytes < 2.1 * 2048**2


def test_small_leaves_stay():
    state = trained(ao.stored(optax.adam(0.1), ao.minifloat8()))
    assert state.inner_state[0].mu["bias"].dtype == jnp.float32
    assert state.inner_state[0].mu["kernel"].dtype == jnp.uint16
    assert state.inner_state[0].nu["kernel"] is None
    plain = trained(optax.adam(0.1))
    np.testing.assert_array_equal(state.inner_state[0].nu["bias"], plain[0].nu["bias"])


def test_a_function_names_the_format_of_each_leaf():
    asked = []

    def choose(path, role, shape, dtype):
        asked.append((path, role, shape, dtype))
        if role == "non_negative":
            return ao.factored()
        return ao.int8() if "kernel" in path else None

    params = {"layer": {"kernel": jnp.ones((128, 256)), "table": jnp.ones((128, 256))}}
    state = trained(ao.stored(optax.adam(0.1), choose), params)
    mu, nu = state.inner_state[0].mu["layer"], state.inner_state[0].nu["layer"]
    assert mu["kernel"].dtype == jnp.uint8
    assert mu["table"].dtype == jnp.float32
    assert nu["kernel"].shape == (128,)
    assert ("layer/kernel", "signed", (128, 256), jnp.dtype("float32")) in asked
    assert form_of(state.decoded()) == form_of(optax.adam(0.1).init(params))


def form_of(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


@pytest.mark.parametrize("name", [*FORMATS, "factored"])
def test_the_plain_state_and_back(name):
    make = ao.factored if name == "factored" else FORMATS[name][0]
    tx, plain = ao.stored(optax.adamw(0.1), make()), optax.adamw(0.1)
    state = trained(tx)
    decoded = state.decoded()
    assert form_of(decoded) == form_of(plain.init(PARAMS))
    plain.update(PARAMS, decoded, PARAMS)
    assert form_of(state.encoded(decoded)) == form_of(state)
    text = bytes(np.asarray(state.layout)).decode()
    assert text.startswith("stored/1\n")
    assert make().name in text


@pytest.mark.parametrize("name", FORMATS)
def test_a_checkpoint_comes_back_bit_for_bit(name, tmp_path):
    tx = ao.stored(optax.adamw(0.1), FORMATS[name][0]())
    state = trained(tx)
    packed = flax.serialization.from_bytes(tx.init(PARAMS), flax.serialization.to_bytes(state))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", tx.init(PARAMS))
    for back in (packed, restored):
        jax.tree.map(np.testing.assert_array_equal, back, state)
        assert form_of(back) == form_of(state)


def test_a_damaged_layout_is_refused():
    state = trained(ao.stored(optax.adam(0.1), ao.minifloat8()))
    with pytest.raises(ValueError, match="begins with 'tored/1'"):
        state._replace(layout=state.layout[1:]).decoded()
    text = bytes(np.asarray(state.layout)).replace(b"minifloat8/1", b"minifloat8/9")
    with pytest.raises(ValueError, match="has format 'minifloat8/9'; known here are"):
        state._replace(layout=jnp.asarray(np.frombuffer(text, np.uint8))).decoded()
    with pytest.raises(ValueError, match="call it outside of jit"):
        jax.jit(lambda state: state.decoded())(state)


def test_a_state_in_other_formats_is_refused_and_can_be_brought_over():
    old = trained(ao.stored(optax.adam(0.1), ao.int8()))
    tx = ao.stored(optax.adam(0.1), ao.minifloat8())
    with pytest.raises(ValueError, match="was stored in other formats"):
        tx.update(PARAMS, old, PARAMS)
    new = tx.init(PARAMS).encoded(old.decoded())
    updates, _ = tx.update(PARAMS, new, PARAMS)
    assert bool(jnp.all(jnp.isfinite(updates["kernel"])))


def test_the_same_steps_again_give_the_same_bits():
    tx = ao.stored(optax.adam(0.1), ao.minifloat8())
    one, two = trained(tx), trained(tx)
    jax.tree.map(np.testing.assert_array_equal, one, two)
    jitted = jax.jit(lambda: trained(tx))()
    codes = one.inner_state[0].mu["kernel"], jitted.inner_state[0].mu["kernel"]
    assert np.mean(codes[0] != codes[1]) < 1e-3  # XLA adds in another order


def test_bfloat16_parameters_have_moments_of_float32():
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    tx = ao.stored(optax.adam(0.1), ao.int8())
    state = trained(tx, params)
    updates, _ = tx.update(params, state, params)
    assert updates["kernel"].dtype == jnp.bfloat16
    assert state.decoded()[0].nu["bias"].dtype == jnp.float32


class Velocity(NamedTuple):
    """A state that nobody knows."""

    velocity: Any


def heavy_ball():
    def update(grads, state, params=None):
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, state.velocity, grads)
        return velocity, Velocity(velocity)

    start = lambda params: Velocity(jax.tree.map(jnp.zeros_like, params))  # noqa: E731
    return optax.GradientTransformation(start, update)


def test_an_unknown_state_stays_until_it_is_registered():
    tx = ao.stored(heavy_ball(), ao.minifloat8())
    assert trained(tx).inner_state.velocity["kernel"].dtype == jnp.float32
    ao.register_state(Velocity, velocity="signed")
    tx = ao.stored(heavy_ball(), ao.minifloat8())
    assert trained(tx).inner_state.velocity["kernel"].dtype == jnp.uint8


KNOWN = {  # optimizers of optax, and how many slots of theirs forget
    **dict.fromkeys(("adam", "adamw", "amsgrad", "adabelief", "nadam", "radam", "lamb"), 2),
    **dict.fromkeys(("lion", "rmsprop", "novograd", "sm3", "adafactor"), 1),
    "adagrad": 0,
    "adan": 3,
    "adadelta": 2,
    "yogi": 2,
    "adamax": 2,
    "rprop": 0,
    "fromage": 0,
}
CONTRIB = {"ademamix": 3, "simplified_ademamix": 2, "dadapt_adamw": 2, "prodigy": 2, "sophia": 2}
CONTRIB |= {"momo": 1, "momo_adam": 2, "muon": 3, "adopt": 2, "acprop": 2, "dog": 0, "madgrad": 0}


@pytest.mark.parametrize("name", [*KNOWN, *CONTRIB])
def test_what_forgets_in_optax(name):
    make = getattr(optax, name, None) or getattr(contrib, name)
    make = functools.partial(make, learning_rate=0.1)
    state = make().init({"kernel": jnp.ones((8, 8))})
    assert len(slots_of(state)) == {**KNOWN, **CONTRIB}[name]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ao.stored(optax.adam, ao.int8()), TypeError, "has to be called"),
        (lambda: ao.stored(optax.adam(0.1), ao.int8), TypeError, r"format=int8\): format must be"),
        (lambda: ao.stored(optax.adam(0.1), "int8"), TypeError, r"format='int8'\): format must"),
        (lambda: ao.stored(optax.adam(0.1), None), TypeError, "such as ao.minifloat8"),
        (lambda: ao.int8(0), ValueError, r"int8\(block=0\): block must be at least 1"),
        (lambda: ao.int8(1.5), TypeError, r"int8\(block=1.5\): block must be an integer"),
        (lambda: ao.int4(3), ValueError, r"int4\(block=3\): block must be even"),
        (lambda: ao.state_bytes(optax.adam, PARAMS), TypeError, r"state_bytes\(tx=adam\)"),
        (lambda: ao.register_state(3), TypeError, r"register_state\(state=3\): state must be"),
        (lambda: ao.register_state(Velocity, speed="signed"), ValueError, "has no field 'speed'"),
        (lambda: ao.register_state(Velocity, velocity="sign"), ValueError, "did you mean 'signed'"),
        (
            lambda: ao.stored(optax.adam(0.1), lambda *leaf: 8).init(PARAMS),
            TypeError,
            "the function gave 8 for 'kernel'",
        ),
        (
            lambda: ao.stored(optax.adam(0.1), lambda leaf: ao.int8()),
            TypeError,
            r"a function must take \(path, role, shape, dtype\)",
        ),
        (
            lambda: STORED.update(PARAMS, optax.adam(0.1).init(PARAMS), PARAMS),
            TypeError,
            r"stored.update\(state=tuple\): state must be a StoredState",
        ),
        (
            lambda: STORED.init(PARAMS).encoded(optax.sgd(0.1).init(PARAMS)),
            ValueError,
            r"with \[2, 2\] leaves in its slots, not \[\]",
        ),
        (
            lambda: ao.rounded(optax.adam(0.1), "kahan").update(PARAMS, (), PARAMS),
            TypeError,
            r"rounded.update\(state=tuple\): state must be a RoundedState",
        ),
    ],
)
def test_a_wrong_call_is_told(call, error, message):
    with pytest.raises(error, match=message):
        call()
