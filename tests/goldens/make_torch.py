"""Freeze trajectories of torch's optimizers, in float64.

    pip install torch==2.13.0 numpy==2.4.6
    python tests/goldens/make_torch.py

The default dtype is set to float64 as well: torch's NAdam keeps the product of its momentum
schedule in the default dtype, whatever the dtype of the parameters.
"""

import numpy as np
import torch
from record import rate_that_changes, rate_with_peaks, run

CHANGING = rate_that_changes()
DECOUPLED, AMSGRAD = {"decoupled_weight_decay": True}, {"amsgrad": True}
# (suffix, our name, class, its arguments, our overrides of its preset, learning rate)
CASES = [
    ("defaults", "sgd", "SGD", {}, {}, 1e-3),
    ("schedule", "sgd", "SGD", {}, {}, CHANGING),
    ("momentum", "sgd", "SGD", {"momentum": 0.9}, {"momentum": 0.9}, 0.01),
    ("momentum-schedule", "sgd", "SGD", {"momentum": 0.9}, {"momentum": 0.9}, CHANGING),
    (
        "nesterov-schedule",
        "sgd",
        "SGD",
        {"momentum": 0.8, "nesterov": True},
        {"momentum": 0.8, "nesterov": True},
        CHANGING,
    ),
    ("defaults", "adagrad", "Adagrad", {}, {}, 1e-2),
    ("eps", "adagrad", "Adagrad", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    (
        "start-schedule",
        "adagrad",
        "Adagrad",
        {"initial_accumulator_value": 0.1},
        {"initial_accumulator_value": 0.1},
        CHANGING,
    ),
    ("defaults", "rmsprop", "RMSprop", {}, {}, 1e-2),
    ("eps", "rmsprop", "RMSprop", {"eps": 1e-2}, {"eps": 1e-2}, 0.05),
    ("centered", "rmsprop", "RMSprop", {"centered": True}, {"centered": True}, 0.05),
    (
        "momentum-schedule",
        "rmsprop",
        "RMSprop",
        {"momentum": 0.9, "alpha": 0.9},
        {"momentum": 0.9, "decay": 0.9},
        CHANGING,
    ),
    (
        "all",
        "rmsprop",
        "RMSprop",
        {"momentum": 0.5, "alpha": 0.9, "centered": True, "eps": 1e-2},
        {"momentum": 0.5, "decay": 0.9, "centered": True, "eps": 1e-2},
        CHANGING,
    ),
    ("defaults", "adadelta", "Adadelta", {}, {}, 1.0),
    ("eps", "adadelta", "Adadelta", {"eps": 1e-2}, {"eps": 1e-2}, 1.0),
    ("schedule", "adadelta", "Adadelta", {"rho": 0.95}, {"rho": 0.95}, 10 * CHANGING),
    ("defaults", "adam", "Adam", {}, {}, 1e-3),
    ("eps", "adam", "Adam", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    ("schedule", "adam", "Adam", {"betas": [0.8, 0.95]}, {"b1": 0.8, "b2": 0.95}, CHANGING),
    ("l2", "adam", "Adam", {"weight_decay": 0.1}, {"l2": 0.1}, 0.1),
    ("defaults", "adamw", "AdamW", {}, {}, 1e-3),
    ("eps", "adamw", "AdamW", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    ("decay-schedule", "adamw", "AdamW", {"weight_decay": 0.2}, {"weight_decay": 0.2}, CHANGING),
    ("defaults", "nadam", "NAdam", {}, {}, 2e-3),
    ("eps", "nadam", "NAdam", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    ("psi-schedule", "nadam", "NAdam", {"momentum_decay": 0.1}, {"momentum_decay": 0.1}, CHANGING),
    ("defaults", "radam", "RAdam", {}, {}, 1e-3),
    ("eps", "radam", "RAdam", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    ("schedule", "radam", "RAdam", {"betas": [0.8, 0.95]}, {"b1": 0.8, "b2": 0.95}, CHANGING),
    ("defaults", "nadamw", "NAdam", DECOUPLED, {}, 2e-3),
    (
        "eps",
        "nadamw",
        "NAdam",
        {**DECOUPLED, "weight_decay": 0.1, "eps": 1e-2},
        {"weight_decay": 0.1, "eps": 1e-2},
        0.1,
    ),
    (
        "decay-schedule",
        "nadamw",
        "NAdam",
        {**DECOUPLED, "weight_decay": 0.2, "momentum_decay": 0.1},
        {"weight_decay": 0.2, "momentum_decay": 0.1},
        CHANGING,
    ),
    ("defaults", "amsgrad", "Adam", AMSGRAD, {}, 1e-3),
    ("eps", "amsgrad", "Adam", {**AMSGRAD, "eps": 1e-2}, {"eps": 1e-2}, 0.1),
    (
        "schedule",
        "amsgrad",
        "Adam",
        {**AMSGRAD, "betas": [0.8, 0.9]},
        {"b1": 0.8, "b2": 0.9},
        CHANGING,
    ),
    (
        "decay-schedule",
        "amsgrad",
        "AdamW",
        {**AMSGRAD, "weight_decay": 0.2},
        {"weight_decay": 0.2},
        CHANGING,
    ),
    ("defaults", "adamax", "Adamax", {}, {}, 2e-3),
    ("eps", "adamax", "Adamax", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    ("schedule", "adamax", "Adamax", {"betas": [0.8, 0.9]}, {"b1": 0.8, "b2": 0.9}, CHANGING),
    ("defaults", "adafactor", "Adafactor", {}, {}, 1e-2),
    ("relative-step", "adafactor", "Adafactor", {}, {}, rate_with_peaks()),
    (
        "schedule",
        "adafactor",
        "Adafactor",
        {"beta2_decay": -0.5, "eps": [None, 2.0], "d": 1.5},
        {"decay_rate": 0.5, "min_scale": 2.0, "clipping_threshold": 1.5},
        CHANGING,
    ),
]


def follow(kind, arguments, rate, start, gradients):
    """The parameters after each step; a changing rate is set in the parameter group."""
    params = {leaf: torch.tensor(value) for leaf, value in start.items()}
    rates = np.broadcast_to(rate, len(gradients))
    optimizer = getattr(torch.optim, kind)(params.values(), lr=float(rates[0]), **arguments)
    path = []
    for step, gradient in zip(rates, gradients, strict=True):
        optimizer.param_groups[0]["lr"] = float(step)
        for leaf, param in params.items():
            param.grad = torch.tensor(gradient[leaf])
        optimizer.step()
        path.append({leaf: param.numpy().copy() for leaf, param in params.items()})
    return path


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    run("torch", torch.__version__.split("+")[0], CASES, follow)
