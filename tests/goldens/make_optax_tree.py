"""Freeze trajectories of rules that look at a matrix or at the whole tree, in float64.

    pip install optax==0.2.8 keras==3.15.1 jax==0.10.2 numpy==2.4.6
    python tests/goldens/make_optax_tree.py

They are those of optax.contrib, where the three leaves together are the tree over which norms and
inner products run, and Keras' Muon, with its norm taken with jax.numpy: keras.ops.norm computes in
float32, whatever the dtype, which moves the goldens by up to 2.2e-8 of their moves, as is checked.
torch's Muon iterates in bfloat16, where two digits are left.

Not to be expressed by our options, and therefore not here: weight decay of DoG and DoWG, which
optax adds to the gradient; Schedule-Free under a rate that changes as optax counts, which gives z
the rate of the step before: "schedule" shifts the wrapper's rates back by one. In Muon the leaves
that are no matrix count without Nesterov's momentum alone, where optax gives them Adam: with it
they get Nadam, with another eps that eps, and in Keras an Adam with eps elsewhere.
"""

import os

os.environ.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", JAX_ENABLE_X64="1")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
from optax import contrib
from record import STEPS, join, rate_that_changes, save, sequence

CHANGING = rate_that_changes()
ROWS_OUT = {"muon_weight_dimension_numbers": {"reduction_axis": 1, "output_axis": 0}}
# (suffix, our name, function, its arguments, our overrides of its preset, learning rate)
OPTAX = [
    ("defaults", "muon", "muon", {}, {}, 0.02),
    ("eps", "muon", "muon", {"eps": 1e-2}, {"eps": 1e-2}, 0.02),
    ("schedule", "muon", "muon", {"beta": 0.8}, {"momentum": 0.8}, CHANGING),
    ("rows-out", "muon", "muon", {**ROWS_OUT, "ns_steps": 3}, {"steps": 3}, 0.02),
    (
        "heavy-ball-decay",
        "muon",
        "muon",
        {"nesterov": False, "weight_decay": 0.2, "adam_weight_decay": 0.2},
        {"nesterov": False, "weight_decay": 0.2},
        CHANGING,
    ),
    (
        "rms",
        "muon",
        "muon",
        {"consistent_rms": 0.2, "ns_coeffs": [2.0, -1.5, 0.5]},
        {"scale": "rms", "coefficients": [2.0, -1.5, 0.5]},
        0.02,
    ),
    ("defaults", "prodigy", "prodigy", {}, {}, 1.0),
    ("eps", "prodigy", "prodigy", {"eps": 1e-2}, {"eps": 1e-2}, 1.0),
    (
        "schedule",
        "prodigy",
        "prodigy",
        {"estim_lr0": 1e-3, "eps": 1e-2},
        {"d0": 1e-3, "eps": 1e-2},
        10 * CHANGING,
    ),
    (
        "safeguard-decay",
        "prodigy",
        "prodigy",
        {
            "betas": [0.8, 0.95],
            "beta3": 0.9,
            "estim_lr0": 1e-2,
            "estim_lr_coef": 2.0,
            "safeguard_warmup": True,
            "weight_decay": 0.2,
        },
        {
            "b1": 0.8,
            "b2": 0.95,
            "b3": 0.9,
            "d0": 1e-2,
            "d_coef": 2.0,
            "safeguard_warmup": True,
            "weight_decay": 0.2,
        },
        10 * CHANGING,
    ),
    ("defaults", "dadapt_adam", "dadapt_adamw", {}, {}, 1.0),
    ("eps", "dadapt_adam", "dadapt_adamw", {"eps": 1e-2}, {"eps": 1e-2}, 1.0),
    (
        "schedule",
        "dadapt_adam",
        "dadapt_adamw",
        {"estim_lr0": 1e-3, "eps": 1e-2},
        {"d0": 1e-3, "eps": 1e-2},
        10 * CHANGING,
    ),
    (
        "betas-decay",
        "dadapt_adam",
        "dadapt_adamw",
        {"betas": [0.8, 0.95], "estim_lr0": 1e-2, "weight_decay": 0.2},
        {"b1": 0.8, "b2": 0.95, "d0": 1e-2, "weight_decay": 0.2},
        10 * CHANGING,
    ),
    ("defaults", "dog", "dog", {}, {}, 1.0),
    ("eps", "dog", "dog", {"eps": 1e-2}, {"eps": 1e-2}, 1.0),
    (
        "schedule",
        "dog",
        "dog",
        {"init_step": ["heuristic", 1e-2]},
        {"initial_distance": 1e-2},
        10 * CHANGING,
    ),
    ("defaults", "dowg", "dowg", {}, {}, 1.0),
    ("eps", "dowg", "dowg", {"eps": 1e-2}, {"eps": 1e-2, "initial_distance": 0.1}, 1.0),
    (
        "schedule",
        "dowg",
        "dowg",
        {"init_estim_sq_dist": 0.25},
        {"initial_distance": 0.5},
        10 * CHANGING,
    ),
]
WRAPPED = [  # (suffix, our name, inner function, its arguments, the wrapper's, ours, learning rate)
    ("defaults", "schedule_free_sgd", "sgd", {}, {}, {}, 0.02),
    (
        "schedule",
        "schedule_free_sgd",
        "sgd",
        {},
        {"b1": 0.5, "weight_lr_power": 1.0},
        {"b1": 0.5, "weight_power": 1.0},
        CHANGING,
    ),
    ("defaults", "schedule_free_adam", "adamw", {"b1": 0.0, "weight_decay": 0.0}, {}, {}, 0.02),
    (
        "eps-decay",
        "schedule_free_adam",
        "adamw",
        {"b1": 0.0, "b2": 0.95, "eps": 1e-2, "weight_decay": 0.2},
        {"b1": 0.95},
        {"b1": 0.95, "b2": 0.95, "eps": 1e-2, "weight_decay": 0.2},
        0.05,
    ),
    (
        "schedule",
        "schedule_free_adam",
        "adamw",
        {"b1": 0.0, "weight_decay": 0.2},
        {},
        {"weight_decay": 0.2},
        CHANGING,
    ),
]
KERAS = [
    ("defaults", "muon", "Muon", {}, {}, 1e-3),
    (
        "schedule",
        "muon",
        "Muon",
        {"momentum": 0.8, "ns_steps": 4, "weight_decay": 0.2},
        {"momentum": 0.8, "eps": (1 - 0.8) * 1e-7, "steps": 4, "weight_decay": 0.2},
        CHANGING,
    ),
    (
        "heavy-ball",
        "muon",
        "Muon",
        {"nesterov": False, "rms_rate": None},
        {"nesterov": False, "scale": "none"},
        0.02,
    ),
]


def main() -> None:
    """Save all of them as one file."""
    keras.config.set_floatx("float64")
    start, sequences = sequence()
    gradients = [jax.tree.map(lambda g, t=t: g[t], sequences) for t in range(STEPS)]
    entries, paths = [], {}

    def record(library, version, suffix, name, kind, arguments, overrides, rate):
        entry = {"name": name, "overrides": overrides, "learning_rate": rate}
        if isinstance(rate, np.ndarray):
            entry["learning_rate"] = rate.tolist()
        source = {"library": library, "version": version, "class": kind, "arguments": arguments}
        key = f"{library}-{name}-{suffix}"
        entries.append({"id": key, **entry, **source})
        return key

    for case in OPTAX:
        key = record("optax", optax.__version__, *case)
        _, _, kind, arguments, _, rate = case
        optimizer = getattr(contrib, kind)(schedule(rate), **in_python(arguments))
        paths[key] = join([params for params, _ in walk(optimizer, start, gradients)])
    for suffix, name, inner, arguments, outer, overrides, rate in WRAPPED:
        both = {"base_optimizer": [inner, arguments], **outer}
        row = suffix, name, "schedule_free", both, overrides, rate
        key = record("optax", optax.__version__, *row)
        base = getattr(optax, inner)(schedule(rate), **arguments)
        optimizer = contrib.schedule_free(base, learning_rate=schedule(rate, first=1), **outer)
        steps = walk(optimizer, start, gradients)
        paths[key] = join([params for params, _ in steps])
        evaluated = [contrib.schedule_free_eval_params(state, y) for y, state in steps]
        paths[f"{key}-slow"] = join([jax.tree.map(np.asarray, x) for x in evaluated])
    theirs = keras.src.ops.norm
    for case in KERAS:
        key = record("keras", keras.__version__, *case)
        _, _, kind, arguments, _, rate = case
        keras.src.ops.norm = theirs
        rounded = join(follow_keras(kind, arguments, rate, start, gradients))
        keras.src.ops.norm = norm
        paths[key] = join(follow_keras(kind, arguments, rate, start, gradients))
        assert np.abs(paths[key] - rounded).max() < 5e-8 * np.abs(rounded - rounded[0]).max()
    save("optax_tree", entries, paths)


def schedule(rate, first=0):
    """A number as it is, one number a step as a schedule whose first count is `first`."""
    if not isinstance(rate, np.ndarray):
        return rate
    rates = jnp.asarray(rate)
    return lambda count: rates[count - first]


def in_python(arguments):
    """The arguments as optax wants them, from what the file says of them."""
    made = {key: tuple(v) if isinstance(v, list) else v for key, v in arguments.items()}
    if "muon_weight_dimension_numbers" in made:
        matrix = contrib.MuonDimensionNumbers(**made["muon_weight_dimension_numbers"])
        numbers = {"bias": None, "kernel": matrix, "scale": None}
        made["muon_weight_dimension_numbers"] = numbers
    return made


def walk(optimizer, start, gradients):
    """Parameters and state after each step."""
    params = jax.tree.map(jnp.asarray, start)
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    steps = []
    for gradient in gradients:
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        steps.append((jax.tree.map(np.asarray, params), state))
    return steps


def norm(x, axis=None, keepdims=False):
    """keras.ops.norm of matrices, but in the dtype of x."""
    return jnp.linalg.norm(keras.ops.convert_to_tensor(x), axis=axis, keepdims=keepdims)


def follow_keras(kind, arguments, rate, start, gradients):
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


if __name__ == "__main__":
    main()
