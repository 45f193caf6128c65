"""Any transformation taken apart: names, options and members, of ours, of optax, of anybody."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax.introspection.foreign import closed_over
from adaptive_optax.introspection.structure import parts, structure

ADAM = ("scale_by_adam", "scale")


def names(part):
    return tuple(each.name for each in part.members.values())


def inner(part):
    return part.members["inner"]


def test_a_chain_has_its_rules_with_their_options():
    part = structure(optax.chain(optax.clip_by_global_norm(2.0), optax.adamw(0.1, b1=0.8)))
    assert (part.name, part.library) == ("chain", "optax")
    assert list(part.members) == ["0", "1"]
    clip, adamw = part.members.values()
    assert dict(clip.options) == {"max_norm": 2.0}
    assert names(adamw) == ("scale_by_adam", "add_decayed_weights", "scale")
    assert adamw.members["0"].options["b1"] == 0.8
    assert adamw.members["2"].options["step_size"] == -0.1


@pytest.mark.parametrize(
    ("wrap", "name", "options"),
    [
        (lambda tx: optax.apply_if_finite(tx, 3), "apply_if_finite", {"max_consecutive_errors": 3}),
        (lambda tx: optax.MultiSteps(tx, 4), "MultiSteps", {"every": 4}),
        (
            lambda tx: optax.MultiSteps(tx, 4).gradient_transformation(),
            "MultiSteps",
            {"every": 4},
        ),
        (
            lambda tx: optax.MultiSteps(tx, lambda step: 2),
            "MultiSteps",
            {"every": "a schedule"},
        ),
        (lambda tx: optax.masked(tx, {"a": True}), "masked", {"mask": {"a": True}}),
        (optax.flatten, "flatten", {}),
        (lambda tx: ao.lookahead(tx, every=3), "lookahead", {"every": 3, "step_size": 0.5}),
        (lambda tx: ao.schedule_free(tx, b1=0.8), "schedule_free", {"b1": 0.8}),
        (lambda tx: ao.multi_steps(tx, 4), "multi_steps", {"every": 4}),
        (lambda tx: ao.monitored(tx, every=7), "monitored", {"every": 7}),
        (lambda tx: ao.layerwise_decay(tx, 0.5), "layerwise_decay", {"decay": 0.5}),
        (lambda tx: ao.gradual_unfreezing(tx, 5), "gradual_unfreezing", {"every": 5}),
        (ao.averaged, "averaged", {"power": 8.0}),
        (ao.cautious, "cautious", {}),
        (ao.hypergradient, "hypergradient", {"mode": "additive"}),
    ],
)
def test_a_wrapper_has_its_inner_one(wrap, name, options):
    part = structure(wrap(optax.adam(0.1)))
    assert part.name == name
    assert {key: part.options[key] for key in options} == options
    assert names(inner(part)) == ADAM
    within = structure(optax.chain(wrap(optax.adam(0.1)), optax.scale(0.5)))
    assert names(within) == (name, "scale")
    assert names(inner(within.members["0"])) == ADAM


def test_labels_are_the_members_names():
    of = {"x": optax.adam(0.1), "y": ao.lion(0.2)}
    part = structure(optax.partition(of, {"a": "x", "b": "y"}))
    assert {label: each.name for label, each in part.members.items()} == {
        "x": "chain",
        "y": "lion",
    }
    assert part.options["param_labels"] == {"a": "x", "b": "y"}
    named = optax.named_chain(("clip", optax.clip(1.0)), ("rest", optax.sgd(0.1)))
    assert list(structure(named).members) == ["clip", "rest"]


@pytest.mark.parametrize(
    ("tx", "name", "options"),
    [
        (ao.adamw(0.1, b1=0.8), "adamw", {"learning_rate": 0.1, "b1": 0.8, "weight_decay": 0.01}),
        (ao.lion(0.1, b2=0.95), "lion", {"learning_rate": 0.1, "b2": 0.95}),
        (ao.sgd(0.1, momentum=0.5), "sgd", {"learning_rate": 0.1, "momentum": 0.5}),
        (ao.scale_by_adam(b2=0.9), "scale_by_adam", {"b2": 0.9}),
        (ao.prodigy(0.5), "prodigy", {"learning_rate": 0.5}),
        (ao.reduce_on_plateau(0.5), "reduce_on_plateau", {"factor": 0.5, "patience": 10}),
        (ao.descend(ao.scale_by_lion(), 0.3), "descend", {"learning_rate": 0.3}),
    ],
)
def test_ours_say_their_options_in_a_chain_too(tx, name, options):
    for part in (structure(tx), structure(optax.chain(tx)).members["0"]):
        assert (part.name, part.library) == (name, "adaptive_optax")
        assert {key: part.options[key] for key in options} == options


def test_options_that_are_off_are_left_out():
    assert "weight_decay" not in structure(ao.lion(0.1)).options
    assert "independent_decay" not in structure(ao.adamw(0.1)).options
    assert "learning_rate" not in structure(ao.scale_by_lion()).options
    schedule = ao.schedules.cosine(0.1, 10)
    assert structure(ao.adamw(schedule)).options["learning_rate"] is schedule


def test_injected_numbers_and_schedules():
    schedule = optax.linear_schedule(1.0, 0.0, 10)
    part = structure(optax.inject_hyperparams(optax.adamw)(schedule, weight_decay=0.5))
    assert part.name == "inject_hyperparams"
    assert part.options["learning_rate"] is schedule
    assert part.options["weight_decay"] == 0.5
    assert names(inner(part)) == ("scale_by_adam", "add_decayed_weights", "scale")
    ours = structure(optax.inject_hyperparams(ao.adam)(0.3))
    assert inner(ours).options["learning_rate"] == 0.3


def test_a_mask_that_is_taken_for_a_schedule_is_no_error():
    def mask(params):
        return jax.tree.map(lambda p: p.ndim > 1, params)

    part = structure(optax.inject_hyperparams(optax.adamw)(0.1, mask=mask))
    assert part.options["mask"] is mask


class Doubled:
    """A transformation that is no named tuple of functions."""

    def init(self, params):
        return optax.EmptyState()

    def update(self, grads, state, params=None):
        return grads, state


class Called:
    def __call__(self, grads, state, params=None):
        return grads, state


def knowing_itself():
    def update(grads, state, params=None):
        return grads, (state, me)[0]

    me = optax.GradientTransformation(lambda params: (), update)
    return me


def two_that_know_each_other():
    def update(grads, state, params=None):
        return grads, (state, outer)[0]

    outer = optax.chain(optax.GradientTransformation(lambda params: (), update), optax.sgd(0.1))
    return outer


def partly(by, grads, state, params=None):
    return grads, state


@pytest.mark.parametrize(
    ("tx", "name"),
    [
        (Doubled(), "Doubled"),
        (optax.GradientTransformation(lambda params: (), Called()), "Called"),
        (optax.GradientTransformation(tuple, functools.partial(partly, 2)), "partly"),
        (knowing_itself(), "knowing_itself"),
        (two_that_know_each_other(), "chain"),
        (optax.stateless(lambda updates, params: updates), "stateless"),
    ],
)
def test_what_others_built_has_a_name_at_least(tx, name):
    part = structure(tx)
    assert part.name == name
    assert part in parts(part)


def test_an_update_under_jit_is_seen_through():
    adam = optax.adam(0.1)
    part = structure(optax.GradientTransformation(adam.init, jax.jit(adam.update)))
    assert names(part) == ADAM
    ours = ao.adam(0.1)
    assert structure(optax.GradientTransformation(ours.init, jax.jit(ours.update))).name == "adam"


def test_extra_arguments_make_no_layer():
    plain = optax.trace(0.9)
    part = structure(optax.with_extra_args_support(optax.with_extra_args_support(plain)))
    assert (part.name, part.members) == ("trace", {})


def test_parts_come_in_the_order_of_their_work():
    tx = ao.lookahead(optax.chain(optax.clip(1.0), ao.cautious(ao.lion(0.1))))
    found = [each.name for each in parts(structure(tx))]
    assert found == ["lookahead", "chain", "clip", "cautious", "lion"]


def test_closed_over_knows_cells_that_are_not_filled():
    def outer():
        def function():
            return later, now

        found = closed_over(function)
        now = later = 1
        return found, closed_over(function), now, later

    before, after, *_ = outer()
    assert before == {}
    assert after == {"later": 1, "now": 1}
    assert closed_over(len) == {}
    assert closed_over(None) == {}


def test_arrays_are_options_where_they_are_one_number():
    assert structure(optax.scale(jnp.float32(2.0))).options["step_size"] == 2
    assert structure(optax.scale(np.float64(2.0))).options["step_size"] == 2
    traced = []
    jax.jit(lambda x: traced.append(structure(ao.sgd(x)).options["learning_rate"]) or x)(0.5)
    assert isinstance(traced[0], jax.core.Tracer)
