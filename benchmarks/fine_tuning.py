"""Fine-tuning with few labels: digits 0 to 4 before, digits 5 to 9 after.

    python benchmarks/fine_tuning.py                 Markdown tables, some minutes on two cores
    python benchmarks/fine_tuning.py --page          writes them to docs/fine_tuning.md too
    python benchmarks/fine_tuning.py --seeds 3       fewer seeds, to try it

Every method has the same learning rates to choose from, by its mean accuracy over seeds on a
validation set apart from the test set, and the same steps. At one seed all have the same
pre-trained model, new head, labelled examples and test set, so that differences are paired.

What such a small model learns of 0 to 4 is of no use for 5 to 9: look at "from scratch" first.
The task shows what the methods cost where transfer is poor, not what they bring where it is good.
The validation set has 200 labels, more than there are to train on, so rates are chosen better than
they would be in practice, for all methods alike.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import stdtrit

import adaptive_optax as ao
from adaptive_optax.learning_rate.layerwise import layerwise_decay
from adaptive_optax.learning_rate.suggested_range import suggested_range
from adaptive_optax.learning_rate.unfreezing import gradual_unfreezing
from adaptive_optax.learning_rate.warm_start import warm_start

LABELS = (20, 50, 100)  # of the five new classes together
RATES = [float(f"{10 ** (k / 2):.3g}") for k in range(-8, -1)]  # 1e-4 to 1e-1, by half decades
PEAK, FINAL = 3.16e-3, 3.16e-4  # learning rates of pre-training
BEFORE, AFTER, BATCH = 300, 300, 64  # steps of pre-training and of fine-tuning; batch before
HEAD = "Dense_2"
BASELINE = "one rate for all layers"


class Model(nn.Module):
    """Two hidden layers and a head of five classes."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits (n, 5) of pictures (n, 64)."""
        for _ in range(2):
            x = nn.relu(nn.Dense(64)(x))
        return nn.Dense(5)(x)


class Method(NamedTuple):
    """One way to fine-tune."""

    make: Callable[[Any], Any]  # learning rate -> optimizer
    pretrained: bool = True
    warm: bool = False  # whether the moments of pre-training come along


METHODS = {
    BASELINE: Method(ao.adam),
    "from scratch": Method(ao.adam, pretrained=False),
    "linear probe": Method(lambda rate: layerwise_decay(ao.adam(rate), 0.0)),
    "layerwise_decay 0.75": Method(lambda rate: layerwise_decay(ao.adam(rate), 0.75)),
    "layerwise_decay 0.5": Method(lambda rate: layerwise_decay(ao.adam(rate), 0.5)),
    "gradual_unfreezing": Method(lambda rate: gradual_unfreezing(ao.adam(rate), AFTER // 6)),
    "warm_start": Method(ao.adam, warm=True),
    "layerwise_decay 0.5, warm_start": Method(
        lambda rate: layerwise_decay(ao.adam(rate), 0.5), warm=True
    ),
}


class Split(NamedTuple):
    """Inputs (seeds, n, 64) and labels (seeds, n)."""

    inputs: Any
    labels: Any


class Outcome(NamedTuple):
    """What the runs of one method came to, at the rate that was chosen; arrays (seeds,)."""

    rate: float
    accuracy: np.ndarray
    loss: np.ndarray
    at_edge: bool


def splits(seeds: int) -> tuple[Split, dict[int, Split], Split, Split]:
    """Batches of pre-training; labelled examples by number; validation and test examples."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures, labels = (found.data / 16).astype(np.float32), found.target.astype(np.int32)
    old, rows = [], {size: [] for size in LABELS}
    validation, test = [], []
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        each = [draw.permutation(np.flatnonzero(labels == label)) for label in range(5, 10)]
        old.append(draw.choice(np.flatnonzero(labels < 5), (BEFORE, BATCH)))
        for size in LABELS:  # repeated to one length, which leaves the mean as it is
            few = np.concatenate([some[: size // 5] for some in each])
            rows[size].append(np.tile(few, max(LABELS) // size))
        validation.append(np.concatenate([some[20:60] for some in each]))
        test.append(np.concatenate([some[60:170] for some in each]))

    def split(index):
        index = np.stack(index)
        return Split(jnp.asarray(pictures[index]), jnp.asarray(labels[index] % 5))

    few_of = {size: split(index) for size, index in rows.items()}
    return split(old), few_of, split(validation), split(test)


def loss_of(params: Any, split: Split) -> jax.Array:
    """Mean cross-entropy."""
    logits = Model().apply(params, split.inputs)
    return optax.softmax_cross_entropy_with_integer_labels(logits, split.labels).mean()


def descent(tx: Any, carry: Any, split: Split) -> Any:
    """Parameters and state after one step."""
    params, state = carry
    updates, state = tx.update(jax.grad(loss_of)(params, split), state, params)
    return optax.apply_updates(params, updates), state


def new_models(seeds: range) -> Any:
    """Parameters as they are initialised, one model a seed."""
    start = jax.jit(lambda key: Model().init(key, jnp.zeros((1, 64))))
    models = [start(jax.random.key(seed)) for seed in seeds]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)


def pretrain(params: Any, batches: Split) -> Any:
    """Parameters and state of one seed after pre-training."""
    tx = ao.adam(ao.schedules.exponential(PEAK, FINAL / PEAK, every=BEFORE))

    def step(carry, batch):
        return descent(tx, carry, batch), None

    return jax.lax.scan(step, (params, tx.init(params)), batches)[0]


def tuner(method: Method) -> Callable[..., Any]:
    """Losses and accuracies, each (splits, seeds, rates), of one method: one program."""

    def one(rate, fresh, old, few, *judged):
        params, state = old
        body = params["params"] if method.pretrained else {}
        params = {"params": {**fresh["params"], **body, HEAD: fresh["params"][HEAD]}}
        tx = method.make(rate)
        start = tx.init(params)
        if method.warm:
            start = warm_start(start, state, where=lambda path: not path.startswith(HEAD))

        def step(carry, _):
            return descent(tx, carry, few), None

        params = jax.lax.scan(step, (params, start), length=AFTER)[0][0]
        right = [Model().apply(params, split.inputs).argmax(-1) == split.labels for split in judged]
        accuracy = jnp.stack([jnp.mean(each, dtype=jnp.float32) for each in right])
        return jnp.stack([loss_of(params, split) for split in judged]), accuracy

    of_rates = jax.vmap(one, (0, None, None, None, None, None), 1)
    return jax.jit(jax.vmap(of_rates, (None, 0, 0, 0, 0, 0), 1))


def outcome(loss: np.ndarray, accuracy: np.ndarray, rates: list[float]) -> Outcome:
    """The runs at that of some rates which was best on the validation set.

    Args:
      loss: (validation and test, seeds, RATES); infinite or NaN where a run diverged.
      accuracy: likewise.
      rates: those to choose from, by mean accuracy, then by mean loss.
    """
    score = {
        rate: (accuracy[0, :, i].mean(), -np.nan_to_num(loss[0, :, i].mean(), nan=np.inf))
        for i, rate in enumerate(RATES)
        if rate in rates
    }
    best = max(score, key=lambda rate: score[rate])
    i = RATES.index(best)
    return Outcome(best, accuracy[1, :, i], loss[1, :, i], best in (rates[0], rates[-1]))


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % t-interval of paired differences."""
    count, mean = len(differences), float(np.mean(differences))
    half = stdtrit(count - 1, 0.975) * np.std(differences, ddof=1) / np.sqrt(count)
    return mean, float(mean - half), float(mean + half)


def verdict(low: float, high: float) -> str:
    """Whether an interval of accuracies is above, below or around zero."""
    return "gain" if low > 0 else "loss" if high < 0 else "tie"


def table(size: int, found: dict[str, Outcome]) -> str:
    """One number of labels as a Markdown table."""
    lines = [
        f"### {size} labels",
        "",
        "| method | rate | test accuracy, % | test loss | accuracy against one rate, points | |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        spread = f"{100 * row.accuracy.mean():.1f} ± {100 * row.accuracy.std(ddof=1):.1f}"
        cells = [name, f"{row.rate:g}{' (edge)' if row.at_edge else ''}", spread]
        cells.append(f"{row.loss.mean():.3f} ± {row.loss.std(ddof=1):.3f}")
        if name == BASELINE:
            cells += ["", ""]
        else:
            mean, low, high = interval(100 * (row.accuracy - found[BASELINE].accuracy))
            cells += [f"{mean:+.1f} ({low:+.1f} to {high:+.1f})", verdict(low, high)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def report(seeds: int) -> str:
    """All runs, as a page."""
    began = time.perf_counter()
    batches, few, validation, test = splits(seeds)
    old = jax.jit(jax.vmap(pretrain))(new_models(range(seeds)), batches)
    fresh = new_models(range(1000, 1000 + seeds))
    found: dict[int, dict[str, Any]] = {size: {} for size in LABELS}
    for name, method in METHODS.items():
        tune = tuner(method)
        for size in LABELS:
            runs = tune(jnp.asarray(RATES), fresh, old, few[size], validation, test)
            found[size][name] = [np.asarray(each, float) for each in runs]
    low, high = suggested_range(PEAK)
    inside = [rate for rate in RATES if 0.99 * low <= rate <= 1.01 * high]  # rates are rounded
    tables, hits, cost = [], [], []
    for size, runs in found.items():
        rows = {name: outcome(*each, RATES) for name, each in runs.items()}
        tables.append(table(size, rows))
        for name in (name for name in rows if METHODS[name].pretrained):
            hits.append(rows[name].rate in inside)
            kept = outcome(*runs[name], inside)
            cost.append(100 * (rows[name].accuracy.mean() - kept.accuracy.mean()))
    minutes = (time.perf_counter() - began) / 60
    rest = [
        f"`suggested_range({PEAK:g})` is {low:.2g} to {high:.2g}. Of {len(hits)} pairs of a "
        f"pre-trained method and a number of labels, {sum(hits)} have the rate chosen by "
        f"validation in it; rates from it alone cost {np.mean(cost):.1f} points of test accuracy "
        f"in the mean, {max(cost):.1f} at most. Its upper end was set with this task in view.",
        f"{seeds} seeds, {BEFORE} steps of pre-training, {AFTER} full-batch steps of fine-tuning, "
        f"{len(RATES)} rates from {RATES[0]:g} to {RATES[-1]:g}. Intervals hold with 95 % each, so "
        f"that of {len(LABELS) * (len(METHODS) - 1)} about one is off by luck. "
        f"{minutes:.1f} minutes on this machine's CPU.",
    ]
    return "\n\n".join([*tables, *rest])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--page", action="store_true", help="write docs/fine_tuning.md too")
    options = parser.parse_args()
    text = report(options.seeds)
    print(text)
    if options.page:
        head = (
            f"# {__doc__.splitlines()[0].rstrip('.')}\n\n{__doc__.split('try it')[1].strip()}\n\n"
        )
        page = Path(__file__).parents[1] / "docs" / "fine_tuning.md"
        page.write_text(f"{head}{text}\n")
