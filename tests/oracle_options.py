"""The options on which our optimizers are held to the oracles of one coordinate."""

from typing import Any

import numpy as np
from goldens.presets_expected import PRESETS
from oracles import FOUND

STEPS = 48

# Our defaults: the papers', but that decay is multiplied by the rate as in the libraries.
DEFAULTS = {**PRESETS["paper"]}
for name in ("adamw", "nadamw"):
    DEFAULTS[name] = {**DEFAULTS[name], "independent_decay": False}

INSIDE, UNCORRECTED = {"eps_placement": "inside"}, {"eps_placement": "uncorrected"}
FALLING = 0.3 / np.sqrt(np.arange(1, STEPS + 1))  # as a schedule of the rate or the decay
WAVES = 0.1 * (1.1 + np.sin(np.arange(STEPS)))

# By optimizer, the options in which a case differs from the defaults.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "sgd": [
        {},
        {"momentum": 0.0},
        {"momentum": 0.9},
        {"momentum": 0.8, "nesterov": True},
    ],
    "adagrad": [
        {},
        INSIDE,
        {"initial_accumulator_value": 0.1},
        {"initial_accumulator_value": 0.1, **INSIDE},
    ],
    "rmsprop": [
        {},
        {"decay": 0.99},
        INSIDE,
        {"centered": True},
        {"centered": True, "decay": 0.95, **INSIDE},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, **INSIDE},
        {"centered": True, "momentum": 0.8, "nesterov": True, "decay": 0.99},
    ],
    "adadelta": [{}, {"rho": 0.8}],
    "adam": [
        {},
        INSIDE,
        UNCORRECTED,
        {"eps_root": 1e-3},
        {"b1": 0.8, "b2": 0.95},
        {"b1": 0.0, "b2": 0.9},
        {"b1": 0.95, "b2": 0.9, **UNCORRECTED},
        {"l2": 0.2},
        {"l2": 0.2, **INSIDE},
    ],
    "adamw": [
        {},
        {"weight_decay": 0.0},
        {"weight_decay": 0.2, **INSIDE},
        {"weight_decay": 0.2, **UNCORRECTED},
        {"weight_decay": 0.2, "eps_root": 1e-3},
        {"weight_decay": 0.2, "independent_decay": True},
        {"weight_decay": FALLING},
        {"weight_decay": FALLING, "independent_decay": True, "b1": 0.8, "b2": 0.95},
    ],
    "nadam": [
        {},
        {"b1": 0.9, "b2": 0.95},
        {"correct_nu": False},
        {"correct_nu": False, "b2": 0.9, **UNCORRECTED},
        {"scheduled_average": False},
        {"scheduled_average": False, "correct_nu": False, "b1": 0.9, **INSIDE},
        {"momentum_decay": None},
        {"momentum_decay": 1.0, "b1": 0.9, "b2": 0.9, **UNCORRECTED},
        {"momentum_decay": 0.05, "scheduled_average": False},
    ],
    "radam": [
        {},
        {"threshold": 5.0},
        {"threshold": 7.5, "b1": 0.8, "b2": 0.99, **INSIDE},
        {"before_rectification": "skip"},
        {"before_rectification": "skip", "threshold": 5.0, "b2": 0.95, **UNCORRECTED},
        {"b2": 0.5},  # rho never exceeds 4: not rectified at all
        {"b2": 0.7, **UNCORRECTED},
    ],
    "lion": [
        {},
        {"b1": 0.95, "b2": 0.98},
        {"b1": 0.5, "b2": 0.8, "weight_decay": 0.2},
    ],
    "amsgrad": [
        {},
        {"bias_correction": "after"},
        {"bias_correction": "after", "b1": 0.8, "b2": 0.95, **UNCORRECTED},
        {"bias_correction": "after", **INSIDE},
        {"bias_correction": "before", "b2": 0.9},
        {"weight_decay": 0.2, "b2": 0.9},
    ],
    "adamax": [{}, {"b1": 0.8, "b2": 0.95}, INSIDE, {"weight_decay": FALLING}],
    "adabelief": [
        {},
        {"eps_root": 1e-3},
        {"eps_root": 1e-16, "b1": 0.8, "b2": 0.95},
        {"weight_decay": 0.2},
    ],
    "yogi": [
        {},
        {"b1": 0.8, "b2": 0.93},  # with 0.9 a constant g meets nu = g^2, where rounding decides
        {"initial_accumulator_value": 0.1, "bias_correction": True},
        {"weight_decay": FALLING},
    ],
    "nadamw": [
        {},
        {"b1": 0.9, "weight_decay": 0.2, "correct_nu": False, "scheduled_average": False},
        {"momentum_decay": None, "weight_decay": FALLING, "independent_decay": True},
    ],
    "adan": [
        {},
        {"b1": 0.9, "b2": 0.7, "b3": 0.95, **INSIDE},
        {"weight_decay": 0.2},
        {"weight_decay": FALLING, "proximal": False, **UNCORRECTED},
    ],
    "ademamix": [
        {},
        {"b1": 0.8, "b2": 0.95, "b3": 0.99, "alpha": 2.0, **INSIDE},
        {"warmup_steps": 30, "b3": 0.99},
        {"warmup_steps": 100, **UNCORRECTED},
        {"weight_decay": 0.2, "alpha": 0.0},
    ],
    "adopt": [
        {},
        {"b1": 0.8, "b2": 0.9, "clip_power": 0.5},
        {"clip_power": None},
        {"weight_decay": FALLING},
    ],
}

for name, module in FOUND.items():
    if not module.WHOLE_LEAF:
        DEFAULTS[name], OPTIONS[name] = module.DEFAULTS, module.OPTIONS
