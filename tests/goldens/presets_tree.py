"""Presets, as in presets_expected.py, of the rules that look at a matrix or at the whole tree.

The goldens of `optax_tree` prove the columns optax and keras. Both libraries give leaves that are
no matrix to another Adam than ours, so that their columns of Muon hold for matrices only.
"""

MUON = {
    "momentum": 0.95,
    "nesterov": True,
    "steps": 5,
    "coefficients": (3.4445, -4.7750, 2.0315),
    "eps": 1e-7,
    "scale": "spectral",
    "bias_correction": False,
    "weight_decay": 0.0,
}
PRODIGY = {
    "b1": 0.9,
    "b2": 0.999,
    "b3": None,
    "eps": 1e-8,
    "d0": 1e-6,
    "d_coef": 1.0,
    "bias_correction": False,
    "safeguard_warmup": False,
    "weight_decay": 0.0,
}
DADAPT_ADAM = {
    "b1": 0.9,
    "b2": 0.999,
    "eps": 1e-8,
    "d0": 1e-6,
    "bias_correction": False,
    "weight_decay": 0.0,
}
DOG = {"initial_distance": 1e-6, "eps": 1e-8}
DOWG = {"initial_distance": 1e-2, "eps": 1e-4}

PRESETS_TREE = {
    "paper": {
        "muon": MUON,
        "soap": {
            "b1": 0.95,
            "b2": 0.95,
            "shampoo_decay": None,
            "eps": 1e-8,
            "every": 10,
            "max_size": 10000,
            "block_size": None,
            "weight_decay": 0.0,
        },
        "prodigy": PRODIGY,
        "dadapt_adam": DADAPT_ADAM,
        "dog": DOG,
        "dowg": DOWG,
    },
    "keras": {
        # Keras adds the whole gradient to its momentum: the same direction, 1 / (1 - momentum)
        # times as long, beside the same eps.
        "muon": {**MUON, "eps": (1 - 0.95) * 1e-7, "scale": "rms", "weight_decay": 4e-3},
    },
    "optax": {
        "muon": {**MUON, "eps": 1e-8, "bias_correction": True},
        "prodigy": {**PRODIGY, "bias_correction": True},
        "dadapt_adam": {**DADAPT_ADAM, "bias_correction": True},
        "dog": DOG,
        "dowg": DOWG,
    },
}
