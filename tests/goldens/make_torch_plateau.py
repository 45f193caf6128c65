"""Freeze what torch's ReduceLROnPlateau makes of scripted losses: the rate after each of them.

    pip install torch==2.13.0 numpy==2.4.6
    python tests/goldens/make_torch_plateau.py

The losses are rounded to four digits, far from every margin. Relative margins have negative losses
nowhere: torch's have the wrong sign there, and ours do not.
"""

import json
from pathlib import Path

import numpy as np
import torch

DRAW = np.random.default_rng(1988)
TIME = np.arange(90)
NOISE = DRAW.standard_normal(TIME.size)
FALLING = 2 * 0.9 ** np.minimum(TIME, 25) + 0.1
NOISY = 2 * 0.95**TIME + 0.5 + 0.1 * NOISE
NEGATIVE = 3 * 0.93**TIME - 2 + 0.05 * NOISE
ACCURACY = 0.9 - 0.8 * 0.92**TIME + 0.02 * NOISE
HOLES = np.where(TIME % 4 == 3, np.nan, NOISY)
SPEED = {"factor": 0.5, "patience": 2}
# (id, losses, arguments for both, torch's alone, ours alone)
CASES = [
    ("defaults", NOISY, {}, {}, {}),
    ("falling", FALLING, {"factor": 0.5, "patience": 4}, {}, {}),
    ("impatient", NOISY, {"factor": 0.9, "patience": 0}, {}, {}),
    ("negative", NEGATIVE, SPEED, {"threshold": 0.01, "threshold_mode": "abs"}, {"atol": 0.01}),
    ("constant", np.full(70, -1.0), SPEED, {"threshold_mode": "abs"}, {"atol": 1e-4}),
    ("margin", NOISY, SPEED, {"threshold": 0.1}, {"rtol": 0.1}),
    ("cooldown", NOISY, {**SPEED, "cooldown": 5}, {}, {}),
    ("max", ACCURACY, {**SPEED, "mode": "max"}, {}, {}),
    (
        "max-abs",
        ACCURACY,
        {**SPEED, "mode": "max", "cooldown": 1},
        {"threshold": 0.02, "threshold_mode": "abs"},
        {"atol": 0.02},
    ),
    ("floor", NOISY, SPEED, {"min_lr": 0.2}, {"min_scale": 0.2}),
    ("nan", HOLES, SPEED, {}, {"on_nan": "bad"}),
]


def follow(losses, arguments):
    """The learning rate after each loss; it starts at 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **arguments)
    rates = []
    for loss in losses:
        optimizer.step()
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def main():
    """Write torch_plateau.json beside this file."""
    entries = []
    for case, losses, both, torchs, ours in CASES:
        values = [round(float(x), 4) for x in losses]
        rates = follow(values, {**both, **torchs})
        if "atol" in ours:  # torch knows one margin at a time, ours takes the larger
            ours = {"rtol": 0.0, **ours}
        print(f"{case}: {len(set(rates)) - 1} reductions, to {rates[-1]:.3g}")
        entries.append(
            {
                "id": case,
                "library": "torch",
                "version": torch.__version__.split("+")[0],
                "arguments": {**both, **torchs},
                "ours": {**both, **ours},
                "values": ["nan" if x != x else x for x in values],
                "rates": rates,
            }
        )
    text = ",\n".join(json.dumps(entry) for entry in entries)
    Path(__file__).with_suffix("").with_name("torch_plateau.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
