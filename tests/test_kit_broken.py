"""Transformations that each break a promise: the kit says which, and what it saw."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import every
from jax.experimental.custom_partitioning import custom_partitioning

import adaptive_optax as ao
from adaptive_optax.testing import check_contract

NEWER = jax.__version_info__ >= (0, 10, 2)  # and what it says of trees of other forms
OTHER_FORMS = "pytree structure error" if NEWER else "List arity mismatch"
# Asked of each besides what it breaks: the properties that take little time.
OTHERS = (
    "wide_slots, update_dtype, tiny_gradients, none_leaves, abstract_init, extra_arguments, "
    "descends, rate_zero, zero_gradients, msgpack, state_by_name, exports"
)


def momentum(rate):
    return ao.sgd(rate, momentum=0.5)


def changed(update=None, *, init=None, inner=momentum, rate=lambda rate: rate):
    """A constructor of an optimizer that keeps the contract, but for what is changed.

    Args:
      update: (updates, state, grads, params) -> (updates, state).
      init: (state, params) -> state.
      inner: the optimizer.
      rate: what becomes of the learning rate.
    """

    def make(learning_rate):
        tx = inner(rate(learning_rate))

        def start(params):
            state = tx.init(params)
            return init(state, params) if init else state

        def step(grads, state, params=None, **extra_args):
            updates, state = tx.update(grads, state, params)
            return update(updates, state, grads, params) if update else (updates, state)

        return optax.GradientTransformationExtraArgs(start, step)

    return make


def is_float(x):
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact)


def floats(function, tree):
    return jax.tree.map(lambda x: function(x) if is_float(x) else x, tree)


def updates_by(function, **options):
    return changed(lambda u, s, g, p: (floats(function, u), s), **options)


def states_by(function, **options):
    return changed(lambda u, s, g, p: (u, floats(function, s)), **options)


def drifts(updates, state, grads, params):
    half = any(g.dtype == jnp.float16 for g in jax.tree.leaves(grads) if g is not None)
    mixed = half and params["kernel"].dtype != jnp.float16
    return updates, floats(lambda x: x.astype(jnp.float16) if mixed else x, state)


def like_gradients(updates, state, grads, params):
    def one(u, g):
        return u.astype(g.dtype) if is_float(u) and is_float(g) else u

    return jax.tree.map(one, updates, grads, is_leaf=lambda x: x is None), state


def remembers():
    calls = []

    def update(updates, state, grads, params):
        calls.append(None)
        return floats(lambda u: u * (1 + (len(calls) % 3 == 0)), updates), state

    return update


def no_none(updates, state, grads, params):
    assert all(hasattr(g, "dtype") for g in jax.tree.leaves(grads, is_leaf=lambda x: x is None))
    return updates, state


def moves_integers(updates, state, grads, params):
    return jax.tree.map(lambda u: u + 1 if u.dtype.kind == "i" else u, updates), state


def no_float0(updates, state, grads, params):
    if any(getattr(g, "dtype", None) == jax.dtypes.float0 for g in jax.tree.leaves(grads)):
        raise TypeError("float0 is no number\nand so on")
    return updates, state


def no_masks(updates, state, grads, params):
    nodes = jax.tree.leaves(params, is_leaf=lambda x: isinstance(x, optax.MaskedNode))
    if any(isinstance(x, optax.MaskedNode) for x in nodes):
        raise ValueError("a masked leaf")
    return updates, state


def complains(updates, state, grads, params):
    warnings.warn("mind the gap", stacklevel=2)
    return updates, state


def no_extra(rate):
    tx = momentum(rate)
    return optax.GradientTransformation(tx.init, lambda g, s, p=None: tx.update(g, s, p))


def unnamed(rate):
    tx = ao.sgd(rate)

    def update(grads, state, params=None, **extra_args):
        return tx.update(grads, tx.init(params), params)[0], state

    def init(params):
        return [jnp.zeros(p.shape) for p in jax.tree.leaves(params)]

    return optax.GradientTransformationExtraArgs(init, update)


def counts_from_a_python_number(rate):
    tx = ao.sgd(rate)

    def update(grads, state, params=None, **extra_args):
        return tx.update(grads, tx.init(params), params)[0], state + jnp.int32(1)

    return optax.GradientTransformationExtraArgs(lambda params: 0, update)


def grows(rate):
    tx = ao.sgd(rate)

    def update(grads, state, params=None, **extra_args):
        return tx.update(grads, tx.init(params), params)[0], (*state, jnp.zeros(()))

    return optax.GradientTransformationExtraArgs(lambda params: (), update)


@jax.custom_batching.custom_vmap
def batched_wrongly(x):
    return x


@batched_wrongly.def_vmap
def _(size, in_batched, x):
    return x * 2, True


@custom_partitioning
def of_its_own_shard(x):
    return x / (1 + jnp.max(jnp.abs(x), initial=0.0))


of_its_own_shard.def_partition(
    infer_sharding_from_operands=lambda mesh, args, result: args[0].sharding,
    partition=lambda mesh, args, result: (
        mesh,
        lambda x: x / (1 + jnp.max(jnp.abs(x), initial=0.0)),
        args[0].sharding,
        (args[0].sharding,),
    ),
    sharding_rule="... -> ...",
)


def stuck(updates, state, grads, params):
    narrow = params["kernel"].dtype == jnp.bfloat16
    return updates, floats(lambda x: x.astype(jnp.bfloat16).astype(x.dtype) if narrow else x, state)


def kept(state, params):
    """A trace that starts as the parameters, in their buffers."""
    trace = jax.tree.map(lambda t, p: p if p.dtype == t.dtype else t, state.slots.trace, params)
    return state._replace(slots=type(state.slots)(trace))


def called_back(u):
    return jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct(u.shape, u.dtype), u)


# name: (constructor, what it breaks, words of the evidence for the first of these)
BROKEN = {
    "drifts": (changed(drifts), ["fixed_point"], "float32 -> float16"),
    "python count": (counts_from_a_python_number, ["fixed_point"], "was weakly typed"),
    "grows": (grows, ["fixed_point", "descends", "msgpack"], "state got [0]"),
    "remembers": (
        changed(remembers()),
        ["eager_jit_scan", "none_leaves", "extra_arguments"],
        "when run again",
    ),
    "narrow slots": (
        changed(init=lambda s, p: floats(lambda x: x.astype(jnp.bfloat16), s)),
        ["wide_slots"],
        "bfloat16 parameters: state .slots.trace['inner']['bias'] is bfloat16",
    ),
    "gradient's dtype": (changed(like_gradients), ["update_dtype"], "float32 -> bfloat16"),
    "stuck": (changed(stuck, inner=ao.adam), ["bfloat16_run"], "off by more than a rounding"),
    "overflows": (
        states_by(lambda x: jnp.where(abs(x) > 1e18, jnp.inf, x)),
        ["huge_gradients", "after_huge"],
        "float32, gradient 1e+20, update 1: state .slots.trace['inner']['bias'] is inf",
    ),
    "freezes": (
        updates_by(lambda u: jnp.where(abs(u) < 1e-15, 0 * u, u), inner=ao.adagrad),
        ["after_huge"],
        "do not move ['inner']['bias']",
    ),
    "divides by zero": (
        updates_by(lambda u: u / (abs(u) / abs(u))),
        ["tiny_gradients", "none_leaves", "strict_settings", "rate_zero", "zero_gradients"],
        "float32, gradient 0, update 1: update ['inner']['bias'] is nan",
    ),
    "no None": (changed(no_none), ["none_leaves"], "None in parameters and gradients: Assertion"),
    "moves integers": (changed(moves_integers), ["integer_leaves"], "the leaf ['n'][0] is 2 now"),
    "no float0": (changed(no_float0), ["float0_gradients"], "eagerly: TypeError: float0 is no num"),
    "first axis": (
        updates_by(lambda u: u * (u.shape[0] > 0)),
        ["odd_shapes"],
        "a leaf of shape (): IndexError",
    ),
    "real": (
        updates_by(lambda u: u.real.astype(u.dtype)),
        ["complex_leaves"],
        "update 1: update ['inner']['bias'][0] is",
    ),
    "looks at values": (
        changed(init=lambda s, p: jax.tree.map(jnp.copy, [s, p])[0]),
        ["abstract_init"],
        "init of ShapeDtypeStructs: TypeError",
    ),
    "batched wrongly": (updates_by(batched_wrongly), ["vmap"], "over seeds: update"),
    "not traced": (changed(rate=float), ["vmap", "traced_rate"], "over learning rates: Concret"),
    "not differentiable": (
        changed(rate=jax.lax.stop_gradient),
        ["traced_rate"],
        "the derivative of a path in the rate is",
    ),
    "not sharded": (
        changed(init=lambda s, p: floats(jnp.zeros_like, s)),
        ["sharded_slots"],
        "Auto mesh: after jit(init) state .slots.trace['bias'] is on P(), its parameter on P('dat",
    ),
    "sharded wrongly": (
        updates_by(of_its_own_shard),
        ["sharded_updates"],
        " sharded, ",
    ),
    "no masks": (changed(no_masks), ["optax_wrappers"], "optax.masked: ValueError: a masked leaf"),
    "keeps parameters": (changed(init=kept), ["train_state"], "donate the same buffer twice"),
    "no arguments": (no_extra, ["extra_arguments"], "TypeError"),
    "promotes": (
        updates_by(lambda u: (u * np.float32(1)).astype(u.dtype)),
        ["strict_settings"],
        "strict promotion, bfloat16 parameters: TypePromotionError",
    ),
    "warns": (changed(complains), ["no_warnings"], "UserWarning: mind the gap"),
    "climbs": (updates_by(lambda u: -u), ["descends"], "at learning rate 0.01, 0.1, 1, 0.001"),
    "does nothing": (updates_by(lambda u: 0 * u), ["none_leaves", "descends"], "did not move"),
    "ignores the rate": (changed(rate=lambda rate: 0.01), ["rate_zero"], "now, 0.5 before"),
    "drifts off": (
        updates_by(lambda u: u + 1e-3),
        ["none_leaves", "rate_zero", "zero_gradients"],
        "",
    ),
    "unnamed": (unnamed, ["state_by_name"], f"ValueError: {OTHER_FORMS}"),
    "calls back": (updates_by(called_back), ["exports"], ""),
}


@pytest.mark.parametrize("name", every(3, [*BROKEN]))
def test_it_fails_just_what_it_breaks(name):
    make, broken, words = BROKEN[name]
    report = check_contract(make, properties=[*OTHERS.split(", "), *broken], name=name)
    print(report)
    assert [row.property for row in report.failures] == broken
    assert words in report.failures[0].evidence
