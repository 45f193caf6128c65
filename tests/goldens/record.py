"""The frozen trajectories: what they hold, how they are written and read. NumPy only."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = Path(__file__).parent
FROZEN = FOLDER / "torch.npz"  # the start and the gradients of all files
STEPS = 60
SHAPES = {"bias": (3,), "kernel": (4, 3), "scale": ()}


class Golden(NamedTuple):
    """One trajectory of one optimizer of one library."""

    id: str  # such as "torch-adam-eps"
    name: str  # our name, such as "adam"
    overrides: dict[str, Any]  # our keyword arguments, over those of the preset
    learning_rate: float | np.ndarray  # a number, or one number a step, shape (T,)
    made_by: dict[str, Any]  # library, version, class and its arguments
    gradients: dict[str, np.ndarray]  # by leaf, shapes (T, ...)
    start: dict[str, np.ndarray]  # by leaf, the parameters before the first step
    path: dict[str, np.ndarray]  # by leaf, the parameters after each step, shapes (T, ...)
    slow: dict[str, np.ndarray] | None = None  # Lookahead only: the slow parameters likewise


def sequence() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Parameters and 60 gradients, of scales from 1e-3 to 1e1, that do not depend on them.

    Among the coordinates are some of constant sign, some that alternate, and some that are 0
    for five steps and now and then later. Once frozen they are read and no longer drawn: NumPy's
    exponentials and powers differ in the last digit from processor to processor.
    """
    if FROZEN.exists():
        with np.load(FROZEN) as arrays:
            return split(arrays["start"]), split(arrays["gradients"])
    draw = np.random.default_rng(20130302)
    size = sum(int(np.prod(shape)) for shape in SHAPES.values())
    scales = 10 ** draw.permutation(np.linspace(-3, 1, size))
    noise = draw.standard_normal((STEPS, size)) * np.exp(0.5 * draw.standard_normal((STEPS, 1)))
    step = np.arange(STEPS)
    noise[:, 0::5] = np.abs(noise[:, 0::5])
    noise[:, 1::5] = np.abs(noise[:, 1::5]) * np.where(step % 2, -1, 1)[:, None]
    noise[(step < 5) | (step % 7 == 0), 2::5] = 0
    return split(draw.standard_normal(size)), split(noise * scales)


def rate_that_changes() -> np.ndarray:
    """A learning rate that rises for 10 steps, then falls by half every 15, shape (60,)."""
    step = np.arange(STEPS)
    return 0.1 * np.minimum(1, (step + 1) / 10) * 0.5 ** (step // 15)


def rate_with_peaks() -> np.ndarray:
    """A learning rate of 0.01 that is 0.5 at every tenth step, shape (60,).

    Adafactor's own 1 / sqrt(t) is seen only where the rate is above it, and at rates that stay so
    its parameters grow without bound.
    """
    return np.where(np.arange(STEPS) % 10 == 9, 0.5, 0.01)


def split(flat: np.ndarray) -> dict[str, np.ndarray]:
    """The leaves of an array of shape (..., 16), in alphabetical order."""
    leaves, at = {}, 0
    for leaf, shape in SHAPES.items():
        size = int(np.prod(shape))
        leaves[leaf] = flat[..., at : at + size].reshape(flat.shape[:-1] + shape)
        at += size
    return leaves


def join(paths: list[dict[str, np.ndarray]]) -> np.ndarray:
    """A list over steps of leaves as one array, shape (T, 16)."""
    return np.stack([np.concatenate([np.ravel(p[leaf]) for leaf in SHAPES]) for p in paths])


def save(file: str, entries: list[dict[str, Any]], paths: dict[str, np.ndarray]) -> None:
    """Write `file`.json (what each entry is) and `file`.npz (start, gradients, trajectories).

    A trajectory that is there already and differs by rounding only, as from processor to
    processor, stays as it is.
    """
    if not all(np.isfinite(path).all() for path in paths.values()):
        raise ValueError(f"{file}: a trajectory is not finite")
    start, gradients = sequence()
    (FOLDER / f"{file}.json").write_text(
        "[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n"
    )
    flat = {"start": join([start])[0], "gradients": join(list(_steps(gradients)))}
    arrays = FOLDER / f"{file}.npz"
    if arrays.exists():
        with np.load(arrays) as frozen:
            for key in set(paths) & set(frozen):
                if np.allclose(paths[key], frozen[key], rtol=0, atol=1e-13):
                    paths[key] = frozen[key]
    np.savez_compressed(arrays, **flat, **paths)
    largest = max(float(np.abs(path - flat["start"]).max()) for path in paths.values())
    print(f"{file}: {len(entries)} entries, largest move {largest:.3g}")


def load(file: str) -> list[Golden]:
    """The entries of "torch", "keras", "optax" or "optax_lookahead"."""
    entries = json.loads((FOLDER / f"{file}.json").read_text())
    with np.load(FOLDER / f"{file}.npz") as arrays:
        flat = dict(arrays)
    start, gradients = split(flat["start"]), split(flat["gradients"])
    return [
        Golden(
            id=entry["id"],
            name=entry["name"],
            overrides=entry["overrides"],
            learning_rate=(
                np.array(entry["learning_rate"])
                if isinstance(entry["learning_rate"], list)
                else entry["learning_rate"]
            ),
            made_by={key: entry[key] for key in ("library", "version", "class", "arguments")},
            gradients=gradients,
            start=start,
            path=split(flat[entry["id"]]),
            slow=split(flat[entry["id"] + "-slow"]) if entry["id"] + "-slow" in flat else None,
        )
        for entry in entries
    ]


def _steps(tree):
    """The leaves at each step, from leaves of shape (T, ...)."""
    for t in range(STEPS):
        yield {leaf: value[t] for leaf, value in tree.items()}


def run(library, version, cases, follow) -> None:
    """Follow every case and save the result as the library's file.

    A case is (suffix, our name, class, arguments, overrides, learning rate); `follow` takes a
    class, arguments, a learning rate, the start and the gradients of each step, and returns the
    parameters after each step.
    """
    start, gradients = sequence()
    entries, paths = [], {}
    for suffix, name, kind, arguments, overrides, rate in cases:
        key = f"{library}-{name}-{suffix}"
        paths[key] = join(follow(kind, arguments, rate, start, list(_steps(gradients))))
        entries.append(
            {
                "id": key,
                "name": name,
                "overrides": overrides,
                "learning_rate": rate.tolist() if isinstance(rate, np.ndarray) else rate,
                "library": library,
                "version": version,
                "class": kind,
                "arguments": arguments,
            }
        )
    save(library, entries, paths)
