"""Every optimizer's path on two landscapes, as one picture of small panels.

    python benchmarks/gallery.py [--out FILE] [--optimizers adam,lion]      docs/gallery.png, all

Each optimizer gets the same starts, steps, noise and budget: RATES learning rates, half a decade
apart around its own centre in TABLE. On each landscape by itself the rate with the least loss is
taken, the mean over the run and the median over SEEDS seeds, and that median run is drawn. The
rate is constant, all other options are the defaults.

What to read from two dimensions: the character of a rule, how it turns, overshoots and comes to
rest; not which one trains a network best. To be fair to all, neither minimum is the origin, to
which weight decay and rules that scale with the parameters' norm are drawn, and neither landscape
lies along the axes, which favours rules for single coordinates. The parameter is a vector of two.
Rules for matrices get it in the shape (2, 1), and their panels say so: there Muon is momentum in
steps of one length, and SOAP is Adam in the eigenbasis of the average of g gᵀ. Sophia is given the
exact diagonal of the Hessian; of averaged parameters the path is that of `eval_params`.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gallery_rows import STEPS, TABLE, Row
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import adaptive_optax as ao

OUT = Path(__file__).parent.parent / "docs" / "gallery.png"
RATES = 9  # learning rates an optimizer and landscape
SEEDS = 9  # odd: the median is a run that took place

# Of the picture, in pixels.
COLUMNS, PANEL, GAP, NAME, TITLE, EDGE, LEGEND = 9, 172, 9, 26, 32, 12, 40

# Blue and vermilion of Okabe and Ito, which most colour-blind people tell apart.
_SIGN = {"linestyle": "", "marker": "o"}
PATH = {"color": "#0072B2", "linewidth": 1.0, "solid_joinstyle": "round"}
START = _SIGN | {"color": "white", "markeredgecolor": "black", "markersize": 5.5}
END = _SIGN | {"color": "#D55E00", "markeredgecolor": "white", "markersize": 6.5}
MINIMUM = _SIGN | {"color": "black", "marker": "+", "markersize": 11, "markeredgewidth": 1.5}
LEGEND_OF = {"start": START, f"{STEPS} steps": PATH, "end": END, "minimum": MINIMUM}


class Landscape(NamedTuple):
    """A loss over the plane, and where to start on it."""

    title: str
    loss: Callable[[jax.Array], jax.Array]  # point, shape (2,) -> loss
    noise: float  # standard deviation of what is added to each element of the gradient
    start: tuple[float, float]
    minimum: tuple[float, float]
    middle: tuple[float, float]  # of the panel
    width: float  # of the panel
    levels: np.ndarray  # of the contours


def valley(p: jax.Array) -> jax.Array:
    """Rosenbrock's function over 200: a valley that bends, its walls 2,500 times its floor."""
    return ((1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2) / 200


PITS = (0.8, 0.6)  # the deepest point of `pits`


def pits(p: jax.Array) -> jax.Array:
    """A bowl with pits after Rastrigin, turned by 30 degrees, off the origin, over 10."""
    c, s = math.cos(math.pi / 6), math.sin(math.pi / 6)
    q = jnp.array([[c, s], [-s, c]]) @ (p - jnp.array(PITS))
    return jnp.sum(q**2 + 0.5 * (1 - jnp.cos(2 * math.pi * q))) / 10


LANDSCAPES = (
    Landscape(
        title="A bent valley with steep walls (Rosenbrock), exact gradients",
        loss=valley,
        noise=0.0,
        start=(-1.2, 1.0),
        minimum=(1.0, 1.0),
        middle=(0.0, 0.75),
        width=3.4,
        levels=np.geomspace(0.001, 10, 9),
    ),
    Landscape(
        title="A bowl with pits (Rastrigin, turned), noisy gradients",
        loss=pits,
        noise=0.3,
        start=(-2.0, -1.4),
        minimum=PITS,
        middle=(-0.4, -0.2),
        width=4.8,
        levels=np.linspace(0.05, 2, 10),
    ),
)


class Run(NamedTuple):
    """What is drawn in one panel."""

    rate: float
    points: np.ndarray  # (STEPS + 1, 2)
    loss: float  # its mean over the run


def grid(centre: float) -> np.ndarray:
    """The learning rates, half a decade apart."""
    return centre * 10 ** ((np.arange(RATES) - RATES // 2) / 2)


def best_runs(row: Row) -> list[Run]:
    """The median run at the best rate on each landscape; all runs are one vmapped scan."""
    rates, starts = grid(row.centre), jnp.array([land.start for land in LANDSCAPES])
    noises = jnp.array([land.noise for land in LANDSCAPES])

    def run(which, rate, seed):
        def loss(p):
            return jnp.stack([land.loss(p.ravel()) for land in LANDSCAPES])[which]

        def hessian(p):
            return jnp.diagonal(jax.hessian(loss)(p).reshape(2, 2)).reshape(row.shape)

        def step(carry, noise):
            p, state = carry
            updates, state = tx.update(jax.grad(loss)(p) + noise, state, p, hessian=hessian)
            p = optax.apply_updates(p, updates)
            shown = ao.eval_params(state, p)
            return (p, state), (shown.ravel(), loss(shown))

        tx, p = row.make(rate), starts[which].reshape(row.shape)
        noise = noises[which] * jax.random.normal(jax.random.key(seed), (STEPS, *row.shape))
        _, (points, losses) = jax.lax.scan(step, (p, tx.init(p)), noise)
        return jnp.vstack([p.ravel(), points]), jnp.mean(losses)

    over_seeds = jax.vmap(run, (None, None, 0))
    over_rates = jax.vmap(over_seeds, (None, 0, None))
    over_landscapes = jax.jit(jax.vmap(over_rates, (0, None, None)))
    which, seeds = jnp.arange(len(LANDSCAPES)), jnp.arange(SEEDS)
    points, losses = over_landscapes(which, jnp.asarray(rates, jnp.float32), seeds)
    points, losses = np.asarray(points), np.asarray(losses)
    return [_best(rates, points[at], losses[at]) for at in which]


def _best(rates: np.ndarray, points: np.ndarray, losses: np.ndarray) -> Run:
    """Of losses (rates, seeds), the least median; a run that left the numbers is the worst."""
    losses = np.where(np.isfinite(losses), losses, np.inf)
    seeds = np.argsort(losses, axis=1)[:, SEEDS // 2]
    at = int(np.argmin(losses[np.arange(RATES), seeds]))
    return Run(float(rates[at]), points[at, seeds[at]], float(losses[at, seeds[at]]))


def draw(rows: Sequence[Row], out: Path) -> None:
    """Writes the picture: a block of panels a landscape, in it a panel an optimizer."""
    found = {}
    for row in rows:
        found[row.name] = runs = best_runs(row)
        print(row.name, *(f"{run.rate:.2g} ({run.loss:.2g})" for run in runs), flush=True)
    columns = max(min(COLUMNS, len(rows)), 4)  # no narrower than its titles
    block = TITLE + math.ceil(len(rows) / columns) * (NAME + PANEL)
    wide, high = 2 * EDGE + columns * (PANEL + GAP) - GAP, EDGE + 2 * (block + EDGE) + LEGEND
    figure = Figure(figsize=(wide / 100, high / 100), dpi=100)
    for at, landscape in enumerate(LANDSCAPES):
        top = EDGE + at * (block + EDGE)
        _text(figure, EDGE, top + 16, landscape.title, fontsize=13, weight="bold")
        heights = _heights(landscape)
        for i, row in enumerate(rows):
            x = EDGE + i % columns * (PANEL + GAP)
            y = top + TITLE + i // columns * (NAME + PANEL) + NAME
            _panel(figure, (x, y), heights, landscape, row, found[row.name][at])
    _legend(figure, wide, high)
    figure.savefig(out)


def _panel(figure: Figure, corner, heights, landscape: Landscape, row: Row, run: Run) -> None:
    """A panel, its upper left corner in pixels from the picture's; name and rate stand above it."""
    x, y = corner
    wide, high = figure.get_size_inches() * 100
    panel = figure.add_axes((x / wide, 1 - (y + PANEL) / high, PANEL / wide, PANEL / high))
    greys = [str(grey) for grey in np.linspace(1.0, 0.86, len(landscape.levels) + 1)]
    panel.contourf(*heights, landscape.levels, colors=greys, extend="both")
    panel.contour(*heights, landscape.levels, colors="0.8", linewidths=0.6)
    panel.plot(*run.points.T, **PATH)
    panel.plot(*landscape.minimum, **(MINIMUM | {"color": "white", "markeredgewidth": 4}))
    panel.plot(*landscape.minimum, **MINIMUM)
    panel.plot(*run.points[0], **START)
    panel.plot(*run.points[-1], **END)
    panel.set(xlim=heights[0][[0, -1]], ylim=heights[1][[0, -1]], xticks=[], yticks=[])
    panel.spines[:].set_color("0.6")
    _text(figure, x, y - 9, row.name, fontsize=9.5)
    _text(figure, x + PANEL, y - 9, f"{run.rate:.2g}", fontsize=9, color="0.35", ha="right")
    _text(figure, x + 5, y + PANEL - 9, row.note, fontsize=7.5, color="0.3")


def _heights(landscape: Landscape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The loss over the panel, and its coordinates."""
    x, y = (np.linspace(-0.5, 0.5, 160) * landscape.width + middle for middle in landscape.middle)
    points = jnp.stack(jnp.meshgrid(jnp.asarray(x), jnp.asarray(y)), axis=-1)
    return x, y, np.asarray(jax.vmap(jax.vmap(landscape.loss))(points))


def _text(figure: Figure, x: float, y: float, words: str, **style: Any) -> None:
    """Words, their middle y pixels from the top."""
    wide, high = figure.get_size_inches() * 100
    figure.text(x / wide, 1 - y / high, words, va="center_baseline", **style)


def _legend(figure: Figure, wide: int, high: int) -> None:
    handles = [Line2D([], [], label=label, **look) for label, look in LEGEND_OF.items()]
    at = {"loc": "center left", "bbox_to_anchor": (0, LEGEND / 2 / high)}
    figure.legend(handles=handles, ncols=4, frameon=False, fontsize=10, **at)
    if wide > 1200:
        words = f"Above each panel its learning rate, the best of {RATES} for each landscape."
        _text(figure, wide - EDGE, high - LEGEND / 2, words, fontsize=10, ha="right")


def chosen(names: str | None) -> list[Row]:
    """The rows of names with commas between; None is all of TABLE.

    Raises:
      ValueError: for a name that is not there.
    """
    rows = {row.name: row for row in TABLE}
    words = list(rows) if names is None else [word.strip() for word in names.split(",")]
    for word in words:
        if word not in rows:
            raise ValueError(f"gallery: unknown optimizer {word!r}; known are {', '.join(rows)}.")
    return [rows[word] for word in words]


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command; words are those after its name, None takes the process's own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE")
    parser.add_argument("--optimizers", metavar="A,B", help="names with commas between")
    options = parser.parse_args(words)
    try:
        rows = chosen(options.optimizers)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    draw(rows, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
