"""The numeric options of every public function, and what each of them must be."""

FRACTION = "must lie in [0, 1)."
NON_NEGATIVE = "must be finite and at least 0."
POSITIVE = "must be finite and above 0."
RATE = "must be finite and at least 0; to ascend, chain with optax.scale(-1.0)."

# Fractions, then what is at least 0, then what is above 0.
_OPTIMIZERS = {
    "sgd": ("momentum", "", ""),
    "adagrad": ("", "initial_accumulator_value eps", ""),
    "rmsprop": ("decay momentum", "eps", ""),
    "adadelta": ("rho", "eps", ""),
    "adam": ("b1 b2", "eps eps_root l2", ""),
    "adamw": ("b1 b2", "eps eps_root weight_decay", ""),
    "nadam": ("b1 b2", "eps eps_root", "momentum_decay"),
    "radam": ("b1 b2", "eps eps_root threshold", ""),
    "lion": ("b1 b2", "weight_decay", ""),
    "amsgrad": ("b1 b2", "eps weight_decay", ""),
    "adamax": ("b1 b2", "eps weight_decay", ""),
    "adabelief": ("b1 b2", "eps eps_root weight_decay", ""),
    "yogi": ("b1 b2", "eps initial_accumulator_value weight_decay", ""),
    "nadamw": ("b1 b2", "eps eps_root weight_decay", "momentum_decay"),
    "adan": ("b1 b2 b3", "eps weight_decay", ""),
    "ademamix": ("b1 b2 b3", "alpha eps weight_decay", ""),
    "adopt": ("b1 b2", "eps clip_power weight_decay", ""),
    "mars": ("b1 b2", "eps gamma weight_decay", ""),
    "lamb": ("b1 b2", "eps eps_root weight_decay", ""),
    "novograd": ("b1 b2", "eps weight_decay", ""),
    "rprop": ("eta_minus", "", "eta_plus smallest_step largest_step"),
    "lars": ("momentum", "trust_coefficient eps weight_decay", ""),
    "adafactor": ("", "decay_rate eps min_scale weight_decay", "clipping_threshold"),
    "sophia": ("b1 b2", "eps weight_decay", "gamma"),
    "muon": ("momentum", "eps weight_decay", ""),
    "soap": ("b1 b2 shampoo_decay", "eps weight_decay", ""),
    "prodigy": ("b1 b2 b3", "eps weight_decay", "d0 d_coef"),
    "dadapt_adam": ("b1 b2", "eps weight_decay", "d0"),
    "dog": ("", "eps", "initial_distance"),
    "dowg": ("", "eps", "initial_distance"),
}
_PARTS = {
    "ema": ("decay", "", ""),
    "bias_correction": ("decay", "", ""),
    "scale_by_rms": ("decay", "eps", ""),
    "scale_by_rss": ("", "initial_accumulator_value eps", ""),
    "scale_by_sign_momentum": ("b1 b2", "", ""),
}
STEPS = {  # whole numbers of at least 1
    "ademamix": ("warmup_steps",),
    "adafactor": ("min_dim_size_to_factor",),
    "sophia": ("every",),
    "muon": ("steps",),
    "soap": ("every", "max_size", "block_size"),
}


def _rules(*kinds: str) -> dict[str, str]:
    rules = zip((FRACTION, NON_NEGATIVE, POSITIVE), kinds, strict=True)
    return {option: rule for rule, options in rules for option in options.split()}


OPTIONS = {
    **{name: {"learning_rate": RATE, **_rules(*row)} for name, row in _OPTIMIZERS.items()},
    **{name: _rules(*row) for name, row in _PARTS.items()},
}
