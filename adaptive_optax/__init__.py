"""Adaptive-learning-rate optimizers as composable optax transformations."""

import importlib
from typing import Any

from adaptive_optax.core.descend import descend as descend
from adaptive_optax.core.leafwise import leafwise as leafwise
from adaptive_optax.learning_rate import schedules as schedules
from adaptive_optax.optimizers.adadelta import adadelta as adadelta
from adaptive_optax.optimizers.adadelta import scale_by_adadelta as scale_by_adadelta
from adaptive_optax.optimizers.adagrad import adagrad as adagrad
from adaptive_optax.optimizers.adagrad import scale_by_adagrad as scale_by_adagrad
from adaptive_optax.optimizers.adagrad import scale_by_rss as scale_by_rss
from adaptive_optax.optimizers.adam import adam as adam
from adaptive_optax.optimizers.adam import adamw as adamw
from adaptive_optax.optimizers.adam import scale_by_adam as scale_by_adam
from adaptive_optax.optimizers.adam import scale_by_adamw as scale_by_adamw
from adaptive_optax.optimizers.lion import lion as lion
from adaptive_optax.optimizers.lion import scale_by_lion as scale_by_lion
from adaptive_optax.optimizers.lion import scale_by_sign_momentum as scale_by_sign_momentum
from adaptive_optax.optimizers.nadam import nadam as nadam
from adaptive_optax.optimizers.nadam import scale_by_nadam as scale_by_nadam
from adaptive_optax.optimizers.parts import bias_correction as bias_correction
from adaptive_optax.optimizers.parts import ema as ema
from adaptive_optax.optimizers.presets import preset as preset
from adaptive_optax.optimizers.radam import radam as radam
from adaptive_optax.optimizers.radam import scale_by_radam as scale_by_radam
from adaptive_optax.optimizers.rmsprop import rmsprop as rmsprop
from adaptive_optax.optimizers.rmsprop import scale_by_rms as scale_by_rms
from adaptive_optax.optimizers.rmsprop import scale_by_rmsprop as scale_by_rmsprop
from adaptive_optax.optimizers.sgd import scale_by_sgd as scale_by_sgd
from adaptive_optax.optimizers.sgd import sgd as sgd
from adaptive_optax.wrappers.evaluation import eval_params as eval_params
from adaptive_optax.wrappers.lookahead import lookahead as lookahead

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Loads `comparison`, which needs flax, on first use."""
    if name == "comparison":
        return importlib.import_module("adaptive_optax.comparison")
    raise AttributeError(f"module 'adaptive_optax' has no attribute {name!r}")
