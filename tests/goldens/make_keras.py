"""Freeze trajectories of Keras' optimizers, in float64, on its JAX backend.

    pip install keras==3.15.1 jax==0.10.2 numpy==2.4.6
    python tests/goldens/make_keras.py

Momentum runs at a constant rate only: Keras keeps the rate inside its momentum buffer, which is
another rule once the rate changes. RAdam is not among Keras' optimizers.

Lamb and Adafactor run without weight decay: Keras decays the parameters first, and then takes the
norms of what is left. Adafactor's means are taken with jax.numpy: on JAX, keras.ops.mean computes
in float32, whatever the dtype, which moves the goldens by up to 1e-7 of themselves.
"""

import os

os.environ.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", JAX_ENABLE_X64="1")

import jax.numpy as jnp
import keras
import numpy as np
from record import rate_that_changes, rate_with_peaks, run

CHANGING = rate_that_changes()
AMSGRAD = {"amsgrad": True}
# (suffix, our name, class, its arguments, our overrides of its preset, learning rate)
CASES = [
    ("defaults", "sgd", "SGD", {}, {}, 1e-2),
    ("schedule", "sgd", "SGD", {}, {}, CHANGING),
    ("momentum", "sgd", "SGD", {"momentum": 0.9}, {"momentum": 0.9}, 0.02),
    (
        "nesterov",
        "sgd",
        "SGD",
        {"momentum": 0.8, "nesterov": True},
        {"momentum": 0.8, "nesterov": True},
        0.02,
    ),
    ("defaults", "adagrad", "Adagrad", {}, {}, 1e-3),
    ("eps", "adagrad", "Adagrad", {"epsilon": 1e-2}, {"eps": 1e-2}, 0.1),
    (
        "start-schedule",
        "adagrad",
        "Adagrad",
        {"initial_accumulator_value": 0.0},
        {"initial_accumulator_value": 0.0},
        CHANGING,
    ),
    ("defaults", "rmsprop", "RMSprop", {}, {}, 1e-3),
    ("eps", "rmsprop", "RMSprop", {"epsilon": 1e-2}, {"eps": 1e-2}, 0.05),
    ("schedule", "rmsprop", "RMSprop", {"rho": 0.95}, {"decay": 0.95}, CHANGING),
    ("centered", "rmsprop", "RMSprop", {"centered": True}, {"centered": True}, 0.05),
    ("momentum", "rmsprop", "RMSprop", {"momentum": 0.9}, {"momentum": 0.9}, 0.05),
    (
        "all",
        "rmsprop",
        "RMSprop",
        {"momentum": 0.5, "rho": 0.95, "centered": True, "epsilon": 1e-2},
        {"momentum": 0.5, "decay": 0.95, "centered": True, "eps": 1e-2},
        0.05,
    ),
    ("defaults", "adadelta", "Adadelta", {}, {}, 1e-3),
    ("eps", "adadelta", "Adadelta", {"epsilon": 1e-2}, {"eps": 1e-2}, 1.0),
    ("schedule", "adadelta", "Adadelta", {"rho": 0.9}, {"rho": 0.9}, 10 * CHANGING),
    ("defaults", "adam", "Adam", {}, {}, 1e-3),
    ("eps", "adam", "Adam", {"epsilon": 1e-2}, {"eps": 1e-2}, 0.1),
    (
        "schedule",
        "adam",
        "Adam",
        {"beta_1": 0.8, "beta_2": 0.95},
        {"b1": 0.8, "b2": 0.95},
        CHANGING,
    ),
    ("defaults", "adamw", "AdamW", {}, {}, 1e-3),
    ("eps", "adamw", "AdamW", {"epsilon": 1e-2}, {"eps": 1e-2}, 0.1),
    ("decay-schedule", "adamw", "AdamW", {"weight_decay": 0.2}, {"weight_decay": 0.2}, CHANGING),
    ("defaults", "nadam", "Nadam", {}, {}, 1e-3),
    ("eps", "nadam", "Nadam", {"epsilon": 1e-2}, {"eps": 1e-2}, 0.1),
    (
        "schedule",
        "nadam",
        "Nadam",
        {"beta_1": 0.8, "beta_2": 0.95},
        {"b1": 0.8, "b2": 0.95},
        CHANGING,
    ),
    ("defaults", "lion", "Lion", {}, {}, 1e-3),
    ("decay-schedule", "lion", "Lion", {"weight_decay": 0.2}, {"weight_decay": 0.2}, CHANGING),
    ("betas", "lion", "Lion", {"beta_1": 0.95, "beta_2": 0.98}, {"b1": 0.95, "b2": 0.98}, 0.01),
    ("defaults", "amsgrad", "Adam", AMSGRAD, {}, 1e-3),
    ("eps", "amsgrad", "Adam", {**AMSGRAD, "epsilon": 1e-2}, {"eps": 1e-2}, 0.1),
    (
        "decay-schedule",
        "amsgrad",
        "Adam",
        {**AMSGRAD, "beta_1": 0.8, "beta_2": 0.9, "weight_decay": 0.2},
        {"b1": 0.8, "b2": 0.9, "weight_decay": 0.2},
        CHANGING,
    ),
    ("defaults", "adamax", "Adamax", {}, {}, 1e-3),
    ("eps", "adamax", "Adamax", {"epsilon": 1e-2}, {"eps": 1e-2}, 0.1),
    (
        "decay-schedule",
        "adamax",
        "Adamax",
        {"beta_1": 0.8, "beta_2": 0.9, "weight_decay": 0.2},
        {"b1": 0.8, "b2": 0.9, "weight_decay": 0.2},
        CHANGING,
    ),
    ("defaults", "lamb", "Lamb", {}, {}, 1e-3),
    ("eps", "lamb", "Lamb", {"epsilon": 1e-2}, {"eps": 1e-2}, 0.02),
    ("schedule", "lamb", "Lamb", {"beta_1": 0.8, "beta_2": 0.9}, {"b1": 0.8, "b2": 0.9}, CHANGING),
    ("defaults", "adafactor", "Adafactor", {}, {}, 1e-3),
    ("eps", "adafactor", "Adafactor", {"epsilon_1": 1e-2}, {"eps": 1e-2}, 0.05),
    ("relative-step", "adafactor", "Adafactor", {}, {}, rate_with_peaks()),
    (
        "schedule",
        "adafactor",
        "Adafactor",
        {"beta_2_decay": -0.5, "epsilon_2": 2.0, "clip_threshold": 0.5},
        {"decay_rate": 0.5, "min_scale": 2.0, "clipping_threshold": 0.5},
        CHANGING,
    ),
]


def follow(kind, arguments, rate, start, gradients):
    """The parameters after each step; a changing rate is assigned before the step."""
    params = {
        leaf: keras.Variable(value, dtype="float64", name=leaf) for leaf, value in start.items()
    }
    rates = np.broadcast_to(rate, len(gradients))
    optimizer = getattr(keras.optimizers, kind)(learning_rate=float(rates[0]), **arguments)
    optimizer.build(list(params.values()))
    path = []
    for step, gradient in zip(rates, gradients, strict=True):
        optimizer.learning_rate.assign(float(step))
        optimizer.apply([keras.ops.convert_to_tensor(gradient[leaf]) for leaf in params])
        path.append({leaf: keras.ops.convert_to_numpy(param) for leaf, param in params.items()})
    return path


def mean(x, axis=None, keepdims=False):
    """keras.ops.mean, but in the dtype of x."""
    return jnp.mean(keras.ops.convert_to_tensor(x), axis=axis, keepdims=keepdims)


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    keras.src.ops.mean = mean
    run("keras", keras.__version__, CASES, follow)
