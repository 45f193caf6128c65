"""Our keyword arguments that reproduce each library's own defaults, without the learning rate.

Every option that a library fixes is written out, so that no preset leans on our defaults. The
goldens prove the columns torch, keras and optax; "paper" holds what the papers recommend. A pair
that is absent is a rule that the library lacks.
"""

SGD = {"momentum": None, "nesterov": False}
RMSPROP = {"centered": False, "momentum": None, "nesterov": False}
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "eps_placement": "outside"}
# Keras adds eps to the root of the raw second moment, before the correction of its bias.
KERAS_ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-7, "eps_placement": "uncorrected"}
# The libraries' Nadams average with the constant b1 and drop the paper's factor b2.
LIBRARY_NADAM = {"b1": 0.9, "b2": 0.999, "scheduled_average": False, "correct_nu": False}
AMSGRAD = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_placement": "outside", "weight_decay": 0.0}
ADAMAX = {"b1": 0.9, "b2": 0.999, "weight_decay": 0.0}
LAMB = {"b1": 0.9, "b2": 0.999, "eps_root": 0.0, "weight_decay": 0.0, "norm_bounds": None}
LARS = {
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 0.0,
    "trust_coefficient": 1e-3,
    "eps": 0.0,
}
# torch clamps the statistics where the paper adds eps to the squares; that is seen where gradients
# are below 1e-7 (in float32: 1e-3) and not 0, which the goldens' never are.
ADAFACTOR = {
    "decay_rate": 0.8,
    "eps": 1e-30,
    "min_scale": 1e-3,
    "clipping_threshold": 1.0,
    "relative_step": True,
    "scale_by_parameter": True,
    "min_dim_size_to_factor": 1,
    "weight_decay": 0.0,
}
ADEMAMIX = {
    "b1": 0.9,
    "b2": 0.999,
    "b3": 0.9999,
    "alpha": 5.0,
    "warmup_steps": None,
    "eps": 1e-8,
    "eps_placement": "outside",
    "weight_decay": 0.0,
}
ADOPT = {"b1": 0.9, "b2": 0.9999, "eps": 1e-6, "clip_power": 0.25, "weight_decay": 0.0}
RADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "before_rectification": "momentum"}

PRESETS = {
    "paper": {
        "sgd": SGD,
        "adagrad": {"eps": 1e-10, "initial_accumulator_value": 0.0, "eps_placement": "outside"},
        "rmsprop": {**RMSPROP, "decay": 0.9, "eps": 1e-8, "eps_placement": "outside"},
        "adadelta": {"rho": 0.95, "eps": 1e-6},
        "adam": {**ADAM, "l2": 0.0},
        "adamw": {**ADAM, "weight_decay": 1e-2, "independent_decay": True},
        "nadam": {
            "b1": 0.99,
            "b2": 0.999,
            "eps": 1e-8,
            "momentum_decay": 0.004,
            "scheduled_average": True,
            "correct_nu": True,
            "eps_placement": "outside",
        },
        "nadamw": {
            "b1": 0.99,
            "b2": 0.999,
            "eps": 1e-8,
            "momentum_decay": 0.004,
            "scheduled_average": True,
            "correct_nu": True,
            "eps_placement": "outside",
            "weight_decay": 1e-2,
            "independent_decay": True,
        },
        "radam": {**RADAM, "threshold": 4.0, "eps_placement": "outside"},
        "lion": {"b1": 0.9, "b2": 0.99, "weight_decay": 0.0},
        "amsgrad": {**AMSGRAD, "bias_correction": "none"},
        "adamax": {**ADAMAX, "eps": 0.0, "eps_placement": "outside"},
        "adabelief": {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": None, "weight_decay": 0.0},
        "yogi": {
            "b1": 0.9,
            "b2": 0.999,
            "eps": 1e-3,
            "initial_accumulator_value": 0.0,
            "bias_correction": False,
            "weight_decay": 0.0,
        },
        "lamb": {**LAMB, "eps": 1e-6},
        "lars": {**LARS, "decay_in_norm": False},
        "adafactor": ADAFACTOR,
        "adan": {
            "b1": 0.98,
            "b2": 0.92,
            "b3": 0.99,
            "eps": 1e-8,
            "eps_placement": "outside",
            "weight_decay": 0.0,
            "proximal": True,
        },
        "ademamix": ADEMAMIX,
        "adopt": ADOPT,
        "mars": {"b1": 0.95, "b2": 0.99, "eps": 1e-8, "gamma": 0.025, "weight_decay": 0.0},
        "sophia": {  # b1 of the paper's experiments; the authors' program has 0.965
            "b1": 0.96,
            "b2": 0.99,
            "gamma": 0.01,
            "eps": 1e-12,
            "every": 10,
            "weight_decay": 0.0,
        },
    },
    "torch": {
        "sgd": SGD,
        "adagrad": {"eps": 1e-10, "initial_accumulator_value": 0.0, "eps_placement": "outside"},
        "rmsprop": {**RMSPROP, "decay": 0.99, "eps": 1e-8, "eps_placement": "outside"},
        "adadelta": {"rho": 0.9, "eps": 1e-6},
        "adam": {**ADAM, "l2": 0.0},
        "adamw": {**ADAM, "weight_decay": 1e-2, "independent_decay": False},
        "nadam": {
            **LIBRARY_NADAM,
            "eps": 1e-8,
            "momentum_decay": 0.004,
            "eps_placement": "outside",
        },
        "nadamw": {
            **LIBRARY_NADAM,
            "eps": 1e-8,
            "momentum_decay": 0.004,
            "eps_placement": "outside",
            "weight_decay": 0.0,
            "independent_decay": False,
        },
        "radam": {**RADAM, "threshold": 5.0, "eps_placement": "uncorrected"},
        "amsgrad": {**AMSGRAD, "bias_correction": "after"},
        "adamax": {**ADAMAX, "eps": 1e-8, "eps_placement": "inside"},
        "adafactor": ADAFACTOR,
    },
    "keras": {
        "sgd": SGD,
        "adagrad": {"eps": 1e-7, "initial_accumulator_value": 0.1, "eps_placement": "inside"},
        "rmsprop": {**RMSPROP, "decay": 0.9, "eps": 1e-7, "eps_placement": "inside"},
        "adadelta": {"rho": 0.95, "eps": 1e-7},
        "adam": {**KERAS_ADAM, "l2": 0.0},
        "adamw": {**KERAS_ADAM, "weight_decay": 4e-3, "independent_decay": False},
        "nadam": {**LIBRARY_NADAM, "eps": 1e-7, "momentum_decay": 1.0, "eps_placement": "outside"},
        "lion": {"b1": 0.9, "b2": 0.99, "weight_decay": 0.0},
        "amsgrad": {**KERAS_ADAM, "bias_correction": "after", "weight_decay": 0.0},
        "adamax": {**ADAMAX, "eps": 1e-7, "eps_placement": "outside"},
        "lamb": {**LAMB, "eps": 1e-7},
        "adafactor": ADAFACTOR,
    },
    "optax": {
        "sgd": SGD,
        "adagrad": {"eps": 1e-7, "initial_accumulator_value": 0.1, "eps_placement": "inside"},
        "rmsprop": {**RMSPROP, "decay": 0.9, "eps": 1e-8, "eps_placement": "inside"},
        "adadelta": {"rho": 0.9, "eps": 1e-6},
        "adam": {**ADAM, "l2": 0.0},
        "adamw": {**ADAM, "weight_decay": 1e-4, "independent_decay": False},
        "nadam": {
            **LIBRARY_NADAM,
            "eps": 1e-8,
            "momentum_decay": None,
            "eps_placement": "outside",
        },
        "nadamw": {
            **LIBRARY_NADAM,
            "eps": 1e-8,
            "momentum_decay": None,
            "eps_placement": "outside",
            "weight_decay": 1e-4,
            "independent_decay": False,
        },
        "radam": {**RADAM, "threshold": 5.0, "eps_placement": "outside"},
        "lion": {"b1": 0.9, "b2": 0.99, "weight_decay": 1e-3},
        "amsgrad": {**AMSGRAD, "bias_correction": "before"},
        "adamax": {**ADAMAX, "eps": 1e-8, "eps_placement": "inside"},
        "adabelief": {"b1": 0.9, "b2": 0.999, "eps": 1e-16, "eps_root": 1e-16, "weight_decay": 0.0},
        "lamb": {**LAMB, "eps": 1e-6},
        "lars": {**LARS, "decay_in_norm": True},
        "adafactor": {**ADAFACTOR, "relative_step": False, "min_dim_size_to_factor": 128},
        "ademamix": ADEMAMIX,
        "adopt": ADOPT,
    },
}
