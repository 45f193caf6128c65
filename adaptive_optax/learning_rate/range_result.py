"""What a range test found: numbers, one short table, and a picture."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BLUE, GREEN, RED = "#0072B2", "#009E73", "#D55E00"  # Okabe and Ito's, for the colour-blind
HARDLY = 0.1  # of the best descent: less is hardly any
PLAIN = (
    *("method", "suggestion", "low", "high", "best", "diverges_at", "bracket"),
    *("first_loss", "limit", "steps", "learning_rates", "losses", "smoothed"),
)


@dataclass(frozen=True, eq=False, repr=False)
class RangeResult:
    """The losses that learning rates led to, and which rate to take.

    Attributes:
      method: "grid" or "sweep".
      learning_rates: (n,), increasing.
      losses: (n,), of a grid the mean over the last fifth of each run, of a sweep the loss at that
        rate; inf where the run left the numbers.
      smoothed: (n,), the losses averaged with those of neighbouring rates; a loss that is not
        finite, or above `limit`, counts as `limit`.
      suggestion: the rate to start with.
      low: least rate of the suggested range.
      high: largest rate of the suggested range.
      best: the rate with the lowest smoothed loss of the test itself.
      diverges_at: above this rate training blows up; inf where it does not in the range.
      bracket: of a grid, the rates that `diverges_at` lies between: the largest seen to hold and
        the least seen to diverge.
      first_loss: the loss at the parameters given, on the batches that `losses` are means over.
      limit: a run that ends above this loss has diverged.
      steps: of each run of a grid, of the only run of a sweep.
      curves: of a grid (n, steps), the loss before each step; of a sweep (1, n).
    """

    method: str
    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float
    low: float
    high: float
    best: float
    diverges_at: float
    bracket: tuple[float, float]
    first_loss: float
    limit: float
    steps: int
    curves: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def suggested_range(self) -> tuple[float, float]:
        """The rates between which training is nearly as good as at the best: (low, high)."""
        return self.low, self.high

    @property
    def lowest_loss(self) -> float:
        """The smoothed loss at `best`."""
        return float(np.min(self.smoothed))

    @property
    def idle_from(self) -> float:
        """The rate from which on the loss hardly falls; inf where it falls at the largest.

        That is, by less than a tenth of what it falls by at the best rate.
        """
        least = HARDLY * (self.first_loss - self.lowest_loss)
        falls = np.flatnonzero(self.first_loss - self.smoothed > max(least, 0.0))
        after = falls[-1] + 1 if len(falls) else 0
        return float(self.learning_rates[after]) if after < len(self.smoothed) else math.inf

    @property
    def advice(self) -> str:
        """What to do where the test could not tell; else empty."""
        if self.first_loss - self.lowest_loss <= 0.01 * (self.limit - self.first_loss):
            return "no rate lowers the loss: give more steps, or another range"
        if self.low == self.learning_rates[0]:
            return f"give a smaller lowest than {self.low:.3g}: rates there do as well as the best"
        if self.high == self.learning_rates[-1]:
            return f"give a larger highest than {self.high:.3g}: rates there do as well as the best"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """All of it but the curves, as plain numbers, lists and None for what is not finite."""
        return {name: _plain(getattr(self, name)) for name in PLAIN}

    def __repr__(self) -> str:
        what = f"{len(self.learning_rates)} rates of {self.steps} steps"
        if self.method == "sweep":
            what = f"one run of {self.steps} steps"
        lines = {
            "suggestion": f"{self.suggestion:.3g}",
            "range": f"{self.low:.3g} to {self.high:.3g}",
            "best here": f"{self.best:.3g}",
            **self._edge(),
            "loss": f"{self.first_loss:.4g} at the start, {self.lowest_loss:.4g} at the best",
        }
        if self.advice:
            lines["advice"] = self.advice
        rows = [f"  {name:12} {words}" for name, words in lines.items()]
        return "\n".join([f"RangeResult, {self.method}: {what}", *rows])

    def _edge(self) -> dict[str, str]:
        """Where training ends to work, which need not be an explosion: a line's name and words."""
        if math.isfinite(self.diverges_at):
            return {"diverges at": f"{self.diverges_at:.3g}"}
        sweep = self.method == "sweep"
        words = "the run did not blow up" if sweep else "no run blew up"
        if not sweep and not np.all(self.losses <= self.limit):  # at some rate below the best
            words = "no run above the best did"
        words += f", to {self.learning_rates[-1]:.3g}"
        if math.isfinite(self.idle_from):
            so = "is hardly below its start" if sweep else "hardly falls"
            last = self.idle_from == self.learning_rates[-1]
            words += f"; {'there' if last else f'from {self.idle_from:.3g} on'} the loss {so}"
        elif self.high < self.learning_rates[-1]:
            words += f"; above {self.high:.3g} the loss {'is higher' if sweep else 'falls less'}"
        return {"divergence": words}

    def plot(self, ax: Any = None) -> Any:
        """Draws loss against learning rate, the suggestion and where training diverges.

        Where nothing diverged, the rate is marked from which on the loss hardly falls, if any.

        Args:
          ax: matplotlib axes; None makes a figure of its own, `result.plot().figure`.

        Returns:
          The axes.
        """
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(6.4, 4.0), layout="constrained").subplots()
        finite = np.isfinite(self.losses)
        ax.plot(
            self.learning_rates[finite],
            self.losses[finite],
            ".",
            color="0.6",
            markersize=6 if self.method == "grid" else 3,
            zorder=2,
        )
        ax.plot(self.learning_rates, self.smoothed, color=BLUE, linewidth=1.8, zorder=3)
        ax.axvspan(self.low, self.high, color=GREEN, alpha=0.13, linewidth=0, zorder=0)
        ax.axvline(self.suggestion, color=GREEN, linewidth=1.6, zorder=1)
        ax.set_xscale("log")
        ax.set_xlim(self.learning_rates[0], self.learning_rates[-1])
        bottom, top = np.min([*self.smoothed, self.first_loss]), np.max(self.smoothed)
        room = max(float(max(top, self.first_loss) - bottom), 1e-12)
        ax.set_ylim(bottom - 0.06 * room, bottom + 1.3 * room)
        _mark(ax, self.suggestion, f"take {self.suggestion:.2g}", GREEN)
        end, words = self.diverges_at, "diverges at"
        if math.isinf(end):
            end = self.idle_from
            words = "hardly falls from" if self.method == "grid" else "hardly lower from"
        if math.isfinite(end):
            ax.axvline(end, color=RED, linewidth=1.2, linestyle="--", zorder=1)
            _mark(ax, end, f"{words} {end:.2g}", RED)
        ax.axhline(self.first_loss, color="0.75", linewidth=0.8, linestyle=":", zorder=1)
        ax.set_xlabel("learning rate")
        last = "mean loss of the last fifth" if self.method == "grid" else "loss of one run"
        ax.set_ylabel(f"{last}, {self.steps} steps")
        ax.grid(True, color="0.93", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        return ax


def _mark(ax: Any, rate: float, words: str, colour: str) -> None:
    """Words along a vertical line, on the side of it that has more room."""
    low, high = np.log(ax.get_xlim())
    left = np.log(rate) > (low + high) / 2
    ax.annotate(
        words,
        (rate, 0.98),
        xycoords=("data", "axes fraction"),
        xytext=(-3 if left else 3, 0),
        textcoords="offset points",
        rotation=90,
        ha="right" if left else "left",
        va="top",
        color=colour,
        fontsize=9,
        bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
