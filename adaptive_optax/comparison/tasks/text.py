"""The task `text`: the next character of Python's own help, from the sixteen before it.

The text is that of `help("assert")` and its like, `pydoc_data.topics`, which comes with CPython and
differs a little from version to version. Its topics stand in the order of their names, the first
50,000 bytes are kept, and training, validation and test are three pieces of it in a row: no window
lies in two of them. The model embeds each character and reads sixteen of them with one hidden
layer. Losses are nats a character; one that knows the characters' frequencies alone has 3.
"""

import flax.linen as nn
import jax
import numpy as np
import optax

from adaptive_optax.comparison.tasks.models import MLP
from adaptive_optax.comparison.tasks.task import Split, Task

BYTES, WINDOW = 50_000, 16
SHARES = (0.85, 0.9)  # where validation begins, and test
CENTRES = {
    "sgd": 1.0,
    "momentum": 0.1,
    "nesterov": 0.1,
    "adagrad": 0.1,
    "rmsprop": 3e-3,
    "adadelta": 3.0,
    "adam": 0.01,
    "adamw": 0.01,
    "nadam": 0.01,
    "radam": 0.03,
    "lion": 1e-3,
}


class Reader(nn.Module):
    """Embedding, one hidden layer, logits."""

    characters: int
    embedding: int = 16
    hidden: int = 64

    @nn.compact
    def __call__(self, windows: jax.Array) -> jax.Array:
        """Logits (batch, characters) of windows (batch, WINDOW) of integers."""
        first = nn.initializers.normal(1.0)
        embedded = nn.Embed(self.characters, self.embedding, embedding_init=first)(windows)
        return MLP((self.hidden, self.characters))(embedded.reshape(len(windows), -1))


def text() -> Task:
    """Reads the topics that come with Python."""
    known, codes = np.unique(np.frombuffer(topics(), np.uint8), return_inverse=True)
    edges = [round(share * len(codes)) for share in SHARES]
    train, validation, test = map(windows, np.split(codes.astype(np.int32), edges))
    model = Reader(len(known))
    start = jax.jit(lambda seed: model.init(jax.random.key(seed), train.inputs[:1]))

    def loss(logits, targets):
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets)

    return Task(
        "text",
        init=start,
        apply=model.apply,
        loss=loss,
        metric=loss,
        train=train,
        validation=validation,
        test=test,
        batch_size=64,
        epochs=1,
        seeds=3,
        target=2.5,
        metric_name="nats a character",
        larger_is_better=False,
        centres=CENTRES,
        evaluate_every=50,
    )


def topics() -> bytes:
    """The text, cut to its length."""
    from pydoc_data.topics import topics as found

    return "\n".join(found[name] for name in sorted(found)).encode()[:BYTES]


def windows(codes: np.ndarray) -> Split:
    """Every stretch of WINDOW characters, and the character after it."""
    inputs = np.lib.stride_tricks.sliding_window_view(codes[:-1], WINDOW)
    return Split(np.ascontiguousarray(inputs), codes[WINDOW:])
