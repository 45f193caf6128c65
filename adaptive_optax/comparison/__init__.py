"""Optimizers compared on one task under one protocol; behind `adaptive-optax compare`."""

from adaptive_optax.comparison.outcome import Comparison as Comparison
from adaptive_optax.comparison.protocol import compare as compare
from adaptive_optax.comparison.results import Row as Row
from adaptive_optax.comparison.results import Run as Run
from adaptive_optax.comparison.tasks.task import Split as Split
from adaptive_optax.comparison.tasks.task import Task as Task
