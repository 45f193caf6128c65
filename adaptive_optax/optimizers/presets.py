"""Presets: the options that make an optimizer follow another library, or its paper.

A preset writes out every option, so that it does not lean on our defaults, and never the learning
rate. What libraries do that no option here says: Keras and optax keep the learning rate inside
the momentum of RMSProp, and Keras inside that of SGD, which differs only while the rate changes.
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
    if name not in presets:
        raise ValueError(
            f"preset({library!r}, {name!r}): no such optimizer there; it has "
            f"{', '.join(presets)}{suggestion(name, tuple(presets))}"
        )
    return dict(presets[name])
