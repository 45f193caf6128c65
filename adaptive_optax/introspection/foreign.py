"""What optax's transformations are made of, read from the values that their functions close over.

This is the one place where closures are read, and where optax's functions stand by name: optax
keeps no other record of its options. Transformations of this library are not read this way.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adaptive_optax.core.rule import Moment

SCALE_INVARIANT = {
    *("adam", "adamax", "adadelta", "adan", "ademamix", "amsgrad", "belief", "cocob", "acprop"),
    *("distance_over_gradients", "factored_rms", "lbfgs", "lion", "momo_adam", "muon"),
    *("normalize", "normalize_by_update_norm", "novograd", "prodigy", "radam", "rms", "rprop"),
    *("rss", "sign", "simplified_ademamix", "sm3", "stddev", "trust_ratio", "yogi"),
    *("dadapt_adamw", "dog", "dowg", "adopt", "lars", "lamb"),
}  # without scale_by_
PASSING = ("chain", "named_chain", "inject_hyperparams", "apply_if_finite")  # gradients as they are

_ADAM = {
    "mu": Moment("gradient", "b1", "corrected"),
    "nu": Moment("square", "b2", "corrected"),
}
MOMENTS: Mapping[str, Mapping[str, Moment]] = {
    **dict.fromkeys(("scale_by_adam", "scale_by_radam", "scale_by_amsgrad"), _ADAM),
    "scale_by_rms": {"nu": Moment("square", "decay", "plain")},
    "scale_by_lion": {"mu": Moment("gradient", "b2", "plain")},
    "trace": {"trace": Moment("gradient", "decay", "sum")},
}

_INTERNAL = ("mask_compatible_extra_args", "forward_extra_args")  # closed over, and no options
_FUNCTIONS = ("learning_rate", "weight_decay", "step_size_fn", "mask", "param_labels", "schedule")


def closed_over(function: Any) -> dict[str, Any]:
    """The values that a function closes over, by name."""
    found = {}
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not filled: never called
            continue
    return found


def unwrapped(tx: optax.GradientTransformation) -> tuple[Any, optax.GradientTransformation]:
    """The update function itself, without `jax.jit` and what lets extra arguments through."""
    update = tx.update
    while True:
        if isinstance(update, functools.partial):
            update = update.func
        elif hasattr(update, "__wrapped__"):
            update = update.__wrapped__
        elif getattr(update, "__qualname__", "").startswith("with_extra_args_support."):
            tx = closed_over(update)["tx"]
            update = tx.update
        else:
            return update, tx


def name_of(update: Any) -> str:
    """`scale_by_adam` of `scale_by_adam.<locals>.update_fn`; a class of its method."""
    name = getattr(update, "__qualname__", type(update).__name__)
    return name.split(".<locals>")[0].removesuffix(".update")


def values_of(tx: optax.GradientTransformation, update: Any) -> dict[str, Any]:
    """What both functions of a transformation close over."""
    return {**closed_over(tx.init), **closed_over(update)}


def options_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are options which tell a reader something."""

    def tells(key: str, value: Any) -> bool:
        if key.startswith("_") or key in _INTERNAL:
            return False
        if isinstance(value, jax.Array | np.ndarray):
            return value.ndim == 0
        return isinstance(value, int | float | str) or (key in _FUNCTIONS and value is not None)

    return {key: value for key, value in values.items() if tells(key, value)}


def members_of(values: Mapping[str, Any]) -> list[tuple[str, optax.GradientTransformation]]:
    """The transformations among what an update closes over, with their labels."""
    if "update_fns" in values:  # of optax.chain, which keeps functions only
        both = zip(values["init_fns"], values["update_fns"], strict=True)
        return [
            (str(i), optax.GradientTransformationExtraArgs(init, update))
            for i, (init, update) in enumerate(both)
        ]
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if is_transformation(value):
            found.append((name, value))
        elif isinstance(value, Mapping):
            found += [(str(key), tx) for key, tx in value.items() if is_transformation(tx)]
        elif isinstance(value, list | tuple):
            named = (pair for pair in value if isinstance(pair, tuple) and len(pair) == 2)
            found += [(str(key), tx) for key, tx in named if is_transformation(tx)]
    return found


def multi_steps_of(owner: optax.MultiSteps) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options and members of `optax.MultiSteps`, whose number of steps has no public name."""
    every = closed_over(owner._every_k_schedule).get("every_k_schedule", "a schedule")
    return {"every": every}, {"inner": owner.inner_opt}


def injected(values: Mapping[str, Any]) -> tuple[dict[str, Any], Callable[..., Any] | None]:
    """Options of `optax.inject_hyperparams`, and what builds its inner transformation.

    None in place of the builder if it is a user's function: that may do more than build.
    """
    numbers = values.get("numeric_hps") or {}
    schedules = values.get("sched_hps") or values.get("sched_fns") or {}
    others = values.get("other_hps") or {}
    plain = {name: getattr(each, "schedule_fn", each) for name, each in schedules.items()}
    factory = values["inner_factory"]
    library = (getattr(factory, "__module__", None) or "").partition(".")[0]
    if library not in ("optax", "adaptive_optax"):
        return {**numbers, **plain}, None

    def build(hyperparams: Mapping[str, Any] | None = None) -> optax.GradientTransformation:
        """The inner transformation with these numbers; those of the first update by default."""
        if hyperparams is None:
            start = {name: _first(each, plain[name]) for name, each in schedules.items()}
            hyperparams = {**numbers, **start}
        return factory(**others, **hyperparams)

    return {**numbers, **plain}, build


def _first(schedule: Any, plain: Any) -> jax.Array:
    """The value at the first update, as an array, since it is not the value of all."""
    try:
        return jnp.asarray(schedule(schedule.init()) if hasattr(schedule, "init") else plain(0))
    except Exception:  # no schedule, such as a function from parameters to a mask
        return jnp.zeros(())


def is_transformation(value: Any) -> bool:
    """Whether value is an init/update pair."""
    return isinstance(value, optax.GradientTransformation)
