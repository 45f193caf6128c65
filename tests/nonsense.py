"""Values of the wrong kind, and how the public functions are called with one of them."""

import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adaptive_optax as ao
from adaptive_optax.learning_rate.schedule import RateSchedule

NONSENSE = {
    "a word": "oops",
    "nan": math.nan,
    "inf": math.inf,
    "a negative": -1,
    "a bool": True,
    "a complex": 1j,
    "None": None,
    "a list": [0.5],
    "an array": np.ones(2),
    "an object": object(),
}
MEANT: dict[Any, set[str]] = {  # by argument, or function and argument: what is no nonsense
    "mask": {"a bool", "None"},
    "matrices": {"a bool", "None"},
    "clipping_threshold": {"None"},
    "clip_power": {"None"},
    "momentum_decay": {"None"},
    "strict": {"a bool"},
    "name": {"a word"},
    ("leafwise", "per_step"): {"None"},
    ("warm_start", "steps"): {"None"},
    "pretraining": {"a list", "an array"},
    "value": {"None"},
}

_TX = ao.adam(0.1)
_PARAMS = {"w": jnp.ones((2, 2))}
_STATE = _TX.update(_PARAMS, _TX.init(_PARAMS))[1]
_KEY = jax.random.key(0)
_GIVEN: dict[str, Any] = {  # of the arguments that have no default
    "learning_rate": 0.1,
    "inner": _TX,
    "tx": _TX,
    "members": {"a": _TX, "b": _TX},
    "direction": optax.scale_by_adam(),
    "every": 2,
    "decay": 0.9,
    "format": ao.int8(),
    "rate": 0.5,
    "length": 100,
    "cycle": 100,
    "power": 2.0,
    "share": 0.5,
    "params": _PARAMS,
    "state": _STATE,
    "saved": ao.state_dict(_STATE),
    "value": 0.1,
    "key": _KEY,
    "losses": jnp.arange(4.0),
    "micro_grads": {"w": jnp.ones((3, 2))},
    "pretraining": 0.1,
    "library": "torch",
    "axis": "data",
    "step": 1,
    "tree": _PARAMS,
    "folder": "nowhere",
    "batches": jnp.ones((3, 1)),
    "slots": tuple,
    "init": tuple,
    "update": lambda g, slots, p, count: (g, slots),
    "loss_fn": lambda params, *batch: jnp.sum(params["w"] ** 2),
    "logits_fn": lambda params: params["w"],
    "make_tx": ao.sgd,
    "pretrained": _STATE,
}
_OWN: dict[str, dict[str, Any]] = {
    "leafwise": {name: _GIVEN[name] for name in ("slots", "init", "update")},
    "rounded": {"mode": "kahan"},
    "switch": {"at": [3]},
    "preset": {"name": "adam"},
    "warm_start": {"fields": ("mu",)},
    "lr_range_test": {"steps": 3, "points": 3},
}
# Data are as they are: what an array holds, or a tree, is not for options' checks to say.
_DATA = ("params", "state", "losses", "micro_grads", "tree", "folder", "batches", "key", "saved")
DATA = {*_DATA, "pretrained", "rare", "specs"}
SKIPPED = {
    "eval_params": "passes over what it does not know",
    "metrics": "passes over what it does not know",
    "register_state": "remembers what it is given; test_stored.py",
    "restore_checkpoint": "needs files; test_checkpoint_faults.py",
    "partitioned": "needs a mesh; test_partitioned.py",
    "Rule": "a class to derive from; test_rules_as_data.py",
    "Step": "what rules are given, built by the lift",
}


def functions() -> dict[str, Any]:
    """The public functions, those of `schedules` too, but for the skipped."""
    found = {
        name: getattr(ao, name)
        for name in dir(ao)
        if not name.startswith("_") and callable(getattr(ao, name)) and name not in SKIPPED
    }
    for name, value in vars(ao.schedules).items():
        if inspect.isfunction(value) and not name.startswith("_") and _returns_a_schedule(value):
            found[f"schedules.{name}"] = value
    return found


def options() -> list[tuple[str, str]]:
    """Every function with every argument that is no data."""
    return [
        (name, parameter.name)
        for name, function in functions().items()
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
        and parameter.name not in DATA
        and (name, parameter.name) not in {("hard_example_weights", "mask")}
    ]


def arguments(name: str) -> dict[str, Any]:
    """What the function is called with, all in order."""
    parameters = inspect.signature(functions()[name]).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty]
    own = _OWN.get(name, {})
    return {**{key: _GIVEN[key] for key in needed if key not in own}, **own}


def is_nonsense(name: str, argument: str, label: str) -> bool:
    """Whether the value of that label is an error there."""
    parameter = inspect.signature(functions()[name]).parameters[argument]
    if isinstance(parameter.default, bool) and label == "a bool":
        return False
    if parameter.default is None and label == "None":
        return False
    return label not in MEANT.get(argument, set()) | MEANT.get((name, argument), set())


def called(name: str) -> str:
    """What errors call the function."""
    return name.removeprefix("schedules.")


def _returns_a_schedule(function: Any) -> bool:
    return inspect.signature(function, eval_str=True).return_annotation is RateSchedule
