"""Adaptive-learning-rate optimizers as composable optax transformations."""

import importlib
from typing import Any

from adaptive_optax import sharding as sharding
from adaptive_optax.checkpoint.files import restore_checkpoint as restore_checkpoint
from adaptive_optax.checkpoint.files import save_checkpoint as save_checkpoint
from adaptive_optax.checkpoint.load_state_dict import load_state_dict as load_state_dict
from adaptive_optax.checkpoint.state_dict import state_dict as state_dict
from adaptive_optax.core.control import learning_rate_of as learning_rate_of
from adaptive_optax.core.control import set_learning_rate as set_learning_rate
from adaptive_optax.core.descend import descend as descend
from adaptive_optax.core.leafwise import leafwise as leafwise
from adaptive_optax.core.matrices import MatrixView as MatrixView
from adaptive_optax.gradients.hard_examples import hard_example_weights as hard_example_weights
from adaptive_optax.gradients.noise_scale import gradient_noise_scale as gradient_noise_scale
from adaptive_optax.gradients.smoothed import smoothed as smoothed
from adaptive_optax.gradients.variance_reduced import variance_reduced as variance_reduced
from adaptive_optax.learning_rate import schedules as schedules
from adaptive_optax.learning_rate.hypergradient import hypergradient as hypergradient
from adaptive_optax.learning_rate.layers import layers_of as layers_of
from adaptive_optax.learning_rate.layerwise import layerwise_decay as layerwise_decay
from adaptive_optax.learning_rate.multi_steps import multi_steps as multi_steps
from adaptive_optax.learning_rate.plateau import reduce_on_plateau as reduce_on_plateau
from adaptive_optax.learning_rate.range_test import lr_range_test as lr_range_test
from adaptive_optax.learning_rate.suggested_range import suggested_range as suggested_range
from adaptive_optax.learning_rate.unfreezing import gradual_unfreezing as gradual_unfreezing
from adaptive_optax.learning_rate.warm_start import warm_start as warm_start
from adaptive_optax.logging import sinks as sinks
from adaptive_optax.monitoring.explain import explain as explain
from adaptive_optax.monitoring.metrics import metrics as metrics
from adaptive_optax.monitoring.monitored import monitored as monitored
from adaptive_optax.optimizers.adabelief import adabelief as adabelief
from adaptive_optax.optimizers.adabelief import scale_by_adabelief as scale_by_adabelief
from adaptive_optax.optimizers.adadelta import adadelta as adadelta
from adaptive_optax.optimizers.adadelta import scale_by_adadelta as scale_by_adadelta
from adaptive_optax.optimizers.adafactor import adafactor as adafactor
from adaptive_optax.optimizers.adafactor import scale_by_adafactor as scale_by_adafactor
from adaptive_optax.optimizers.adagrad import adagrad as adagrad
from adaptive_optax.optimizers.adagrad import scale_by_adagrad as scale_by_adagrad
from adaptive_optax.optimizers.adagrad import scale_by_rss as scale_by_rss
from adaptive_optax.optimizers.adam import adam as adam
from adaptive_optax.optimizers.adam import adamw as adamw
from adaptive_optax.optimizers.adam import scale_by_adam as scale_by_adam
from adaptive_optax.optimizers.adam import scale_by_adamw as scale_by_adamw
from adaptive_optax.optimizers.adamax import adamax as adamax
from adaptive_optax.optimizers.adamax import scale_by_adamax as scale_by_adamax
from adaptive_optax.optimizers.adan import adan as adan
from adaptive_optax.optimizers.adan import scale_by_adan as scale_by_adan
from adaptive_optax.optimizers.ademamix import ademamix as ademamix
from adaptive_optax.optimizers.ademamix import scale_by_ademamix as scale_by_ademamix
from adaptive_optax.optimizers.adopt import adopt as adopt
from adaptive_optax.optimizers.adopt import scale_by_adopt as scale_by_adopt
from adaptive_optax.optimizers.amsgrad import amsgrad as amsgrad
from adaptive_optax.optimizers.amsgrad import scale_by_amsgrad as scale_by_amsgrad
from adaptive_optax.optimizers.dadapt_adam import dadapt_adam as dadapt_adam
from adaptive_optax.optimizers.dadapt_adam import scale_by_dadapt_adam as scale_by_dadapt_adam
from adaptive_optax.optimizers.dog import dog as dog
from adaptive_optax.optimizers.dog import dowg as dowg
from adaptive_optax.optimizers.dog import scale_by_dog as scale_by_dog
from adaptive_optax.optimizers.dog import scale_by_dowg as scale_by_dowg
from adaptive_optax.optimizers.lamb import lamb as lamb
from adaptive_optax.optimizers.lamb import scale_by_lamb as scale_by_lamb
from adaptive_optax.optimizers.lars import lars as lars
from adaptive_optax.optimizers.lars import scale_by_lars as scale_by_lars
from adaptive_optax.optimizers.lion import lion as lion
from adaptive_optax.optimizers.lion import scale_by_lion as scale_by_lion
from adaptive_optax.optimizers.lion import scale_by_sign_momentum as scale_by_sign_momentum
from adaptive_optax.optimizers.mars import mars as mars
from adaptive_optax.optimizers.mars import scale_by_mars as scale_by_mars
from adaptive_optax.optimizers.muon import muon as muon
from adaptive_optax.optimizers.muon import scale_by_muon as scale_by_muon
from adaptive_optax.optimizers.nadam import nadam as nadam
from adaptive_optax.optimizers.nadam import nadamw as nadamw
from adaptive_optax.optimizers.nadam import scale_by_nadam as scale_by_nadam
from adaptive_optax.optimizers.nadam import scale_by_nadamw as scale_by_nadamw
from adaptive_optax.optimizers.parts import bias_correction as bias_correction
from adaptive_optax.optimizers.parts import ema as ema
from adaptive_optax.optimizers.presets import preset as preset
from adaptive_optax.optimizers.prodigy import prodigy as prodigy
from adaptive_optax.optimizers.prodigy import scale_by_prodigy as scale_by_prodigy
from adaptive_optax.optimizers.radam import radam as radam
from adaptive_optax.optimizers.radam import scale_by_radam as scale_by_radam
from adaptive_optax.optimizers.rmsprop import rmsprop as rmsprop
from adaptive_optax.optimizers.rmsprop import scale_by_rms as scale_by_rms
from adaptive_optax.optimizers.rmsprop import scale_by_rmsprop as scale_by_rmsprop
from adaptive_optax.optimizers.sgd import scale_by_sgd as scale_by_sgd
from adaptive_optax.optimizers.sgd import sgd as sgd
from adaptive_optax.optimizers.soap import scale_by_soap as scale_by_soap
from adaptive_optax.optimizers.soap import soap as soap
from adaptive_optax.optimizers.sophia import gauss_newton_bartlett as gauss_newton_bartlett
from adaptive_optax.optimizers.sophia import hutchinson as hutchinson
from adaptive_optax.optimizers.sophia import scale_by_sophia as scale_by_sophia
from adaptive_optax.optimizers.sophia import sophia as sophia
from adaptive_optax.optimizers.yogi import scale_by_yogi as scale_by_yogi
from adaptive_optax.optimizers.yogi import yogi as yogi
from adaptive_optax.sharding.partitioned import partitioned as partitioned
from adaptive_optax.sharding.state_shardings import state_shardings as state_shardings
from adaptive_optax.storage.bfloat16 import bfloat16 as bfloat16
from adaptive_optax.storage.factored import factored as factored
from adaptive_optax.storage.int4 import int4 as int4
from adaptive_optax.storage.int8 import int8 as int8
from adaptive_optax.storage.minifloat8 import minifloat8 as minifloat8
from adaptive_optax.storage.registry import register_state as register_state
from adaptive_optax.storage.rounded import rounded as rounded
from adaptive_optax.storage.state_bytes import state_bytes as state_bytes
from adaptive_optax.storage.stored import stored as stored
from adaptive_optax.wrappers.averaged import averaged as averaged
from adaptive_optax.wrappers.blend import blend as blend
from adaptive_optax.wrappers.cautious import cautious as cautious
from adaptive_optax.wrappers.evaluation import eval_params as eval_params
from adaptive_optax.wrappers.guarded import guarded as guarded
from adaptive_optax.wrappers.lookahead import lookahead as lookahead
from adaptive_optax.wrappers.schedule_free import schedule_free as schedule_free
from adaptive_optax.wrappers.switch import switch as switch

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Loads `comparison`, `testing` and `training`, which need flax, on first use."""
    if name in ("comparison", "testing", "training"):
        return importlib.import_module(f"adaptive_optax.{name}")
    raise AttributeError(f"module 'adaptive_optax' has no attribute {name!r}")
