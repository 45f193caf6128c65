"""Guarded gradient descent in plain loops."""

import math

import numpy as np


def guarded(gradients, losses, p, rate=0.1, *, loss_sigmas, norm_sigmas, window, warm_up, backoff):
    """Parameters after each step, and whether it was refused; recovery 1.5, min_scale 0.2."""
    p = np.array(p, np.float64)
    known = {"loss": (0, 0.0, 0.0), "norm": (0, 0.0, 0.0)}  # count, mean, variance
    scale, last_refused, history = 1.0, False, []
    for g, loss in zip(gradients, losses, strict=True):
        g = np.array(g, np.float64)
        size = math.sqrt(sum(float(x) ** 2 for x in g.ravel()))
        refused = not (math.isfinite(size) and math.isfinite(loss))
        after = dict(known)
        if not refused:
            for name, x, sigmas in (("loss", loss, loss_sigmas), ("norm", size, norm_sigmas)):
                count, mean, variance = known[name]
                if name == "norm" and x == 0:
                    continue
                x = math.log(x) if name == "norm" else x
                least = 0.1 if name == "norm" else 0.01 * abs(mean)
                most = sigmas * max(math.sqrt(variance), least)
                away = x - mean
                if count >= warm_up and most > 0:
                    refused = refused or away > most
                    away = max(away, -most)
                share = max(1 / (count + 1), 1 / window)
                variance = (1 - share) * (variance + share * away**2)
                after[name] = (count + 1, mean + share * away, variance)
        if refused:
            scale = max(scale * backoff, 0.2)
        else:
            scale = scale if last_refused else min(1.0, scale * 1.5)
            p = p - rate * scale * g
            known = after
        last_refused = refused
        history.append((p.copy(), refused))
    return history
