"""The task `digits`: LeNet-5 on 1,797 real handwritten digits, 8x8 scaled up to 16x16."""

import jax
import numpy as np
import optax

from adaptive_optax.comparison.tasks.augmentation import moved
from adaptive_optax.comparison.tasks.models import LeNet5
from adaptive_optax.comparison.tasks.splits import stratified
from adaptive_optax.comparison.tasks.task import Split, Task

CENTRES = {  # a small model takes larger steps than the usual ones
    "adagrad": 0.03,
    "rmsprop": 3e-3,
    "adam": 3e-3,
    "adamw": 3e-3,
    "nadam": 3e-3,
    "radam": 0.01,
    "lion": 1e-3,
    "lookahead(sgd)": 0.3,
    "lookahead(rmsprop)": 0.01,
    "lookahead(adam)": 0.01,
    "lookahead(adamw)": 0.01,
    "lookahead(nadam)": 0.01,
    "lookahead(radam)": 0.03,
    "lookahead(lion)": 3e-3,
}
SHARES = (0.6, 0.2, 0.2)  # training, validation, test


def digits() -> Task:
    """Reads scikit-learn's digits, which come with it."""
    small, labels = read()
    shape = (len(small), 16, 16, 1)
    pictures = np.asarray(jax.image.resize(small[..., None], shape, "linear"))
    train, validation, test = (
        Split(pictures[rows], labels[rows]) for rows in stratified(labels, SHARES)
    )
    return pictures_task(
        "digits",
        train,
        validation,
        test,
        padding=2,
        degrees=10.0,
        shift=1.0,
        mirrored=False,
        centres=CENTRES,
    )


def pictures_task(
    name: str,
    train: Split,
    validation: Split,
    test: Split,
    *,
    padding: int,
    degrees: float,
    shift: float,
    mirrored: bool,
    **options,
) -> Task:
    """LeNet-5 on pictures (n, height, width, channels) with labels; see `Task` and `moved`."""
    model = LeNet5(padding=padding)
    start = jax.jit(lambda key: model.init(key, train.inputs[:1]))
    settings = {"batch_size": 32, "epochs": 15, "seeds": 3, "target": 0.9} | options
    return Task(
        name,
        init=lambda seed: start(jax.random.key(seed)),
        apply=model.apply,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        metric=lambda logits, labels: logits.argmax(-1) == labels,
        train=train,
        validation=validation,
        test=test,
        augment=lambda key, inputs: moved(key, inputs, degrees, shift, mirrored),
        **settings,
    )


def read() -> tuple[np.ndarray, np.ndarray]:
    """Pictures (1797, 8, 8), float32 in [0, 1], and labels, int32, in the set's own order."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images / 16).astype(np.float32), found.target.astype(np.int32)
