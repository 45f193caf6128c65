"""The task `digits_mlp`: a perceptron 64-64-10 on the digits as they are; seconds an optimizer."""

import jax
import optax

from adaptive_optax.comparison.tasks import digits
from adaptive_optax.comparison.tasks.models import MLP
from adaptive_optax.comparison.tasks.splits import stratified
from adaptive_optax.comparison.tasks.task import Split, Task

SHARES = (0.6, 0.2, 0.2)  # training, validation, test
CENTRES = {  # a model this small takes larger steps than the usual ones
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


def digits_mlp() -> Task:
    """The digits, without augmentation."""
    pictures, labels = digits.read()
    flat = pictures.reshape(len(pictures), -1)
    train, validation, test = (Split(flat[r], labels[r]) for r in stratified(labels, SHARES))
    model = MLP((64, 10))
    start = jax.jit(lambda seed: model.init(jax.random.key(seed), flat[:1]))
    return Task(
        "digits_mlp",
        init=start,
        apply=model.apply,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        metric=lambda logits, labels: logits.argmax(-1) == labels,
        train=train,
        validation=validation,
        test=test,
        batch_size=32,
        epochs=15,
        seeds=3,
        target=0.96,
        centres=CENTRES,
        evaluate_every=11,
    )
