"""The options on which rules that see a leaf or the whole tree are held to their oracles."""

from typing import Any

import numpy as np
from goldens.presets_expected import PRESETS
from goldens.presets_tree import PRESETS_TREE
from oracle_options import FALLING, WAVES
from oracles import FOUND

# Our defaults: the papers', but that D-Adapted Adam corrects its biases.
DEFAULTS = {**PRESETS["paper"], **PRESETS_TREE["paper"]}
DEFAULTS["dadapt_adam"] = {**DEFAULTS["dadapt_adam"], "bias_correction": True}
FREE = {"b1": 0.9, "weight_power": 2.0}
DEFAULTS["schedule_free_sgd"] = FREE
DEFAULTS["schedule_free_adam"] = {**FREE, "b2": 0.999, "eps": 1e-8}
DEFAULTS["cautious_sgd"] = {"momentum": 0.9}
DEFAULTS["cautious_adam"] = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}

# By rule, the options in which a case differs from the defaults.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "lamb": [
        {},
        {"b1": 0.8, "b2": 0.95, "eps": 1e-2},
        {"weight_decay": 0.2},
        {"weight_decay": FALLING, "norm_bounds": (0.5, 2.0)},
        {"eps_root": 1e-2},
    ],
    "lars": [
        {},
        {"momentum": 0.5, "nesterov": True, "trust_coefficient": 0.1},
        {"weight_decay": 0.2, "trust_coefficient": 0.1, "eps": 1e-2},
        {"weight_decay": FALLING, "trust_coefficient": 0.1, "decay_in_norm": True},
    ],
    "adafactor": [
        {},
        {"decay_rate": 0.5, "eps": 1e-2},
        {"min_scale": 2.0, "clipping_threshold": 0.5},
        {"clipping_threshold": None, "relative_step": False},
        {"scale_by_parameter": False, "weight_decay": 0.2},
        {"min_dim_size_to_factor": 4, "relative_step": False},
    ],
    "mars": [
        {},
        {"b1": 0.8, "b2": 0.95, "gamma": 0.3, "eps": 1e-2},
        {"weight_decay": FALLING},
    ],
    "sophia": [
        {},
        {"every": 1, "b1": 0.8, "b2": 0.9},
        {"every": 3, "gamma": 0.3, "weight_decay": FALLING},
        {"eps": 0.5},
    ],
    "muon": [
        {},
        {"nesterov": False, "scale": "rms"},
        {"bias_correction": True, "scale": "none", "eps": 1e-2},
        {"bias_correction": True, "nesterov": False, "momentum": 0.8},
        {"steps": 3, "coefficients": (2.0, -1.5, 0.5), "weight_decay": 0.2},
    ],
    "soap": [
        {},
        {"every": 1, "b1": 0.9, "b2": 0.99, "eps": 1e-2},
        {"every": 3, "shampoo_decay": 0.8, "weight_decay": 0.2},
        {"max_size": 4, "every": 2, "eps": 1e-2},
        {"block_size": 2, "every": 4, "eps": 1e-2},
    ],
    "prodigy": [
        {},
        {"d0": 1e-2, "b1": 0.8, "b2": 0.95, "eps": 1e-2},
        {"bias_correction": True, "b3": 0.9, "d_coef": 0.5},
        {"safeguard_warmup": True, "weight_decay": 0.2},
    ],
    "dadapt_adam": [
        {},
        {"bias_correction": False},
        {"d0": 1e-2, "b1": 0.8, "b2": 0.95, "eps": 1e-2},
        {"weight_decay": 0.2},
    ],
    "dog": [{}, {"initial_distance": 1e-2, "eps": 1e-2}],
    "dowg": [{}, {"initial_distance": 1e-4, "eps": 1e-2}],
    "schedule_free_sgd": [{}, {"b1": 0.0}, {"b1": 0.5, "weight_power": 0.0}, {"weight_power": 1.0}],
    "schedule_free_adam": [
        {},
        {"b2": 0.9, "eps": 1e-2, "b1": 0.7},
        {"weight_decay": 0.2},
    ],
    "cautious_sgd": [{}, {"momentum": None}, {"momentum": 0.8, "nesterov": True}],
    "cautious_adam": [{}, {"b1": 0.8, "b2": 0.9, "eps": 1e-2}],
}

GLOBAL = ("prodigy", "dadapt_adam", "dog", "dowg")  # their oracles take the tree as one vector
PEAKS = np.where(np.arange(48) % 7 == 3, 0.7, 0.02)  # Adafactor: under and over 1 / sqrt(t)
RATES = {"adafactor": (0.1, PEAKS), **dict.fromkeys(GLOBAL, (0.5, 5 * WAVES))}  # else 0.1, WAVES

for name, module in FOUND.items():
    if module.WHOLE_LEAF:
        DEFAULTS[name], OPTIONS[name] = module.DEFAULTS, module.OPTIONS
