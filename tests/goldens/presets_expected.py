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
        "radam": {**RADAM, "threshold": 4.0, "eps_placement": "outside"},
        "lion": {"b1": 0.9, "b2": 0.99, "weight_decay": 0.0},
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
        "radam": {**RADAM, "threshold": 5.0, "eps_placement": "uncorrected"},
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
        "radam": {**RADAM, "threshold": 5.0, "eps_placement": "outside"},
        "lion": {"b1": 0.9, "b2": 0.99, "weight_decay": 1e-3},
    },
}
