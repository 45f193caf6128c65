"""The task `cifar10`: LeNet-5 on CIFAR-10, with flips, rotations and shifts; 200 epochs."""

from pathlib import Path

import numpy as np

from adaptive_optax.comparison.tasks import cifar10_files
from adaptive_optax.comparison.tasks.digits import pictures_task
from adaptive_optax.comparison.tasks.splits import stratified
from adaptive_optax.comparison.tasks.task import Split, Task

SHARES = (0.9, 0.1)  # training, validation; the published test pictures are the test split


def cifar10(data_dir: str | Path | None) -> Task:
    """Reads the published files; `cifar10_files.read` says where they may be."""
    pictures, labels, test_pictures, test_labels = cifar10_files.read(data_dir)
    train, validation = stratified(labels, SHARES)
    if not len(validation):
        raise ValueError(
            f"cifar10: {len(labels)} training pictures leave none for validation; "
            f"at least 5 of a class are needed."
        )
    seen = pictures[train].astype(np.float32)
    middle, around = seen.mean((0, 1, 2)), np.maximum(seen.std((0, 1, 2)), 1.0)

    def split(some, their_labels):
        return Split(((some - middle) / around).astype(np.float32), their_labels)

    return pictures_task(
        "cifar10",
        split(pictures[train], labels[train]),
        split(pictures[validation], labels[validation]),
        split(test_pictures, test_labels),
        padding=0,
        degrees=15.0,
        shift=2.0,
        mirrored=True,
        batch_size=128,
        epochs=200,
        target=0.6,
    )
