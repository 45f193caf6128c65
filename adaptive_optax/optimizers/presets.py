"""Presets: the options that make an optimizer follow another library, or its paper.

A preset writes out every option, so that it does not lean on our defaults, and never the learning
rate. What libraries do that no option here says: Keras and optax keep the learning rate inside
the momentum of RMSProp, and Keras inside that of SGD, which differs only while the rate changes.
Keras adds the whole gradient to Muon's momentum, so that its eps is 1 / (1 - momentum) of ours;
leaves that are no matrices go to another Adam in Keras and optax. optax's Yogi starts its mean
off zero, and its Adan has another factor: neither has a preset.
"""

from typing import Any

from adaptive_optax.core.checks import check_choice, suggestion

_SGD = {"momentum": None, "nesterov": False}
_RMSPROP = {"decay": 0.9, "eps": 1e-8, "centered": False, "momentum": None, "nesterov": False}
_MOMENTS = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0}
_OUTSIDE = {"eps_placement": "outside"}
_INSIDE = {"eps_placement": "inside"}
_UNCORRECTED = {"eps_placement": "uncorrected"}
_ADAM = {**_MOMENTS, **_OUTSIDE}
_KERAS_ADAM = {**_MOMENTS, **_UNCORRECTED, "eps": 1e-7}
_ADAGRAD = {"eps": 1e-10, "initial_accumulator_value": 0.0, **_OUTSIDE}
_TF_ADAGRAD = {"eps": 1e-7, "initial_accumulator_value": 0.1, **_INSIDE}
_NADAM = {**_ADAM, "scheduled_average": False, "correct_nu": False}
_RADAM = {**_MOMENTS, "before_rectification": "momentum"}
_LION = {"b1": 0.9, "b2": 0.99}
_NO_DECAY = {"weight_decay": 0.0}
_BETAS = {"b1": 0.9, "b2": 0.999}
_AMSGRAD = {**_BETAS, **_OUTSIDE, "eps": 1e-8, **_NO_DECAY}
_ADAMAX = {**_BETAS, **_INSIDE, "eps": 1e-8, **_NO_DECAY}
_ADABELIEF = {**_BETAS, **_NO_DECAY}
_LAMB = {**_MOMENTS, "eps": 1e-6, "norm_bounds": None, **_NO_DECAY}
_LARS = {
    "momentum": 0.9,
    "nesterov": False,
    "trust_coefficient": 1e-3,
    "eps": 0.0,
    "decay_in_norm": False,
    **_NO_DECAY,
}
_ADAFACTOR = {
    "decay_rate": 0.8,
    "eps": 1e-30,
    "min_scale": 1e-3,
    "clipping_threshold": 1.0,
    "relative_step": True,
    "scale_by_parameter": True,
    "min_dim_size_to_factor": 1,
    **_NO_DECAY,
}
_ADEMAMIX = {
    **_BETAS,
    "b3": 0.9999,
    "alpha": 5.0,
    "warmup_steps": None,
    "eps": 1e-8,
    **_OUTSIDE,
    **_NO_DECAY,
}
_ADOPT = {"b1": 0.9, "b2": 0.9999, "eps": 1e-6, "clip_power": 0.25, **_NO_DECAY}
_MUON = {
    "momentum": 0.95,
    "nesterov": True,
    "steps": 5,
    "coefficients": (3.4445, -4.7750, 2.0315),
    "eps": 1e-7,
    "scale": "spectral",
    "bias_correction": False,
    **_NO_DECAY,
}
_DADAPT_ADAM = {**_BETAS, "eps": 1e-8, "d0": 1e-6, "bias_correction": False, **_NO_DECAY}
_PRODIGY = {**_DADAPT_ADAM, "b3": None, "d_coef": 1.0, "safeguard_warmup": False}
_DOG = {"initial_distance": 1e-6, "eps": 1e-8}
_DOWG = {"initial_distance": 1e-2, "eps": 1e-4}

_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "sgd": _SGD,
        "adagrad": _ADAGRAD,
        "rmsprop": {**_RMSPROP, **_OUTSIDE},
        "adadelta": {"rho": 0.95, "eps": 1e-6},
        "adam": {**_ADAM, "l2": 0.0},
        "adamw": {**_ADAM, "weight_decay": 1e-2, "independent_decay": True},
        "nadam": {
            **_ADAM,
            "b1": 0.99,
            "momentum_decay": 0.004,
            "scheduled_average": True,
            "correct_nu": True,
        },
        "radam": {**_RADAM, **_OUTSIDE, "threshold": 4.0},
        "lion": {**_LION, "weight_decay": 0.0},
        "amsgrad": {**_AMSGRAD, "bias_correction": "none"},
        "adamax": {**_ADAMAX, **_OUTSIDE, "eps": 0.0},
        "adabelief": {**_ADABELIEF, "eps": 1e-8, "eps_root": None},
        "yogi": {
            **_BETAS,
            "eps": 1e-3,
            "initial_accumulator_value": 0.0,
            "bias_correction": False,
            **_NO_DECAY,
        },
        "nadamw": {
            **_ADAM,
            "b1": 0.99,
            "momentum_decay": 0.004,
            "scheduled_average": True,
            "correct_nu": True,
            "weight_decay": 1e-2,
            "independent_decay": True,
        },
        "lamb": _LAMB,
        "lars": _LARS,
        "adafactor": _ADAFACTOR,
        "adan": {
            "b1": 0.98,
            "b2": 0.92,
            "b3": 0.99,
            "eps": 1e-8,
            **_OUTSIDE,
            "proximal": True,
            **_NO_DECAY,
        },
        "ademamix": _ADEMAMIX,
        "adopt": _ADOPT,
        "mars": {"b1": 0.95, "b2": 0.99, "eps": 1e-8, "gamma": 0.025, **_NO_DECAY},
        "sophia": {
            "b1": 0.96,
            "b2": 0.99,
            "gamma": 0.01,
            "eps": 1e-12,
            "every": 10,
            **_NO_DECAY,
        },
        "muon": _MUON,
        "soap": {
            "b1": 0.95,
            "b2": 0.95,
            "shampoo_decay": None,
            "eps": 1e-8,
            "every": 10,
            "max_size": 10000,
            "block_size": None,
            **_NO_DECAY,
        },
        "prodigy": _PRODIGY,
        "dadapt_adam": _DADAPT_ADAM,
        "dog": _DOG,
        "dowg": _DOWG,
    },
    "torch": {
        "sgd": _SGD,
        "adagrad": _ADAGRAD,
        "rmsprop": {**_RMSPROP, **_OUTSIDE, "decay": 0.99},
        "adadelta": {"rho": 0.9, "eps": 1e-6},
        "adam": {**_ADAM, "l2": 0.0},
        "adamw": {**_ADAM, "weight_decay": 1e-2, "independent_decay": False},
        "nadam": {**_NADAM, "momentum_decay": 0.004},
        "radam": {**_RADAM, **_UNCORRECTED, "threshold": 5.0},
        "amsgrad": {**_AMSGRAD, "bias_correction": "after"},
        "adamax": _ADAMAX,
        "nadamw": {
            **_NADAM,
            "momentum_decay": 0.004,
            "weight_decay": 0.0,
            "independent_decay": False,
        },
        "adafactor": _ADAFACTOR,
    },
    "keras": {
        "sgd": _SGD,
        "adagrad": _TF_ADAGRAD,
        "rmsprop": {**_RMSPROP, **_INSIDE, "eps": 1e-7},
        "adadelta": {"rho": 0.95, "eps": 1e-7},
        "adam": {**_KERAS_ADAM, "l2": 0.0},
        "adamw": {**_KERAS_ADAM, "weight_decay": 4e-3, "independent_decay": False},
        "nadam": {**_NADAM, "eps": 1e-7, "momentum_decay": 1.0},
        "lion": {**_LION, "weight_decay": 0.0},
        "amsgrad": {**_AMSGRAD, **_UNCORRECTED, "eps": 1e-7, "bias_correction": "after"},
        "adamax": {**_ADAMAX, **_OUTSIDE, "eps": 1e-7},
        "lamb": {**_LAMB, "eps": 1e-7},
        "adafactor": _ADAFACTOR,
        "muon": {**_MUON, "eps": (1 - 0.95) * 1e-7, "scale": "rms", "weight_decay": 4e-3},
    },
    "optax": {
        "sgd": _SGD,
        "adagrad": _TF_ADAGRAD,
        "rmsprop": {**_RMSPROP, **_INSIDE},
        "adadelta": {"rho": 0.9, "eps": 1e-6},
        "adam": {**_ADAM, "l2": 0.0},
        "adamw": {**_ADAM, "weight_decay": 1e-4, "independent_decay": False},
        "nadam": {**_NADAM, "momentum_decay": None},
        "radam": {**_RADAM, **_OUTSIDE, "threshold": 5.0},
        "lion": {**_LION, "weight_decay": 1e-3},
        "amsgrad": {**_AMSGRAD, "bias_correction": "before"},
        "adamax": _ADAMAX,
        "adabelief": {**_ADABELIEF, "eps": 1e-16, "eps_root": 1e-16},
        "nadamw": {
            **_NADAM,
            "momentum_decay": None,
            "weight_decay": 1e-4,
            "independent_decay": False,
        },
        "lamb": _LAMB,
        "lars": {**_LARS, "decay_in_norm": True},
        "adafactor": {**_ADAFACTOR, "relative_step": False, "min_dim_size_to_factor": 128},
        "ademamix": _ADEMAMIX,
        "adopt": _ADOPT,
        "muon": {**_MUON, "eps": 1e-8, "bias_correction": True},
        "prodigy": {**_PRODIGY, "bias_correction": True},
        "dadapt_adam": {**_DADAPT_ADAM, "bias_correction": True},
        "dog": _DOG,
        "dowg": _DOWG,
    },
}


def preset(library: str, name: str) -> dict[str, Any]:
    """The options with which our optimizer does what a library's does by default.

    Args:
      library: "paper", "torch" (2.13), "keras" (3.15) or "optax" (0.2.8).
      name: an optimizer's name, such as "adam".

    Returns:
      Keyword arguments, a new dict at each call; change `eps` or another in it at will.

    Raises:
      ValueError: for an unknown library, or an optimizer that the library does not have.

    >>> preset("torch", "adagrad")["eps"]
    1e-10
    """
    check_choice("preset", tuple(_PRESETS), library=library)
    presets = _PRESETS[library]
    if not isinstance(name, str) or name not in presets:
        raise ValueError(
            f"preset({library!r}, {name!r}): no such optimizer there; it has "
            f"{', '.join(presets)}{suggestion(name, tuple(presets))}"
        )
    return dict(presets[name])
