"""CIFAR-10 as published, in Python batches (pickles) or binary ones.

The pickles are read by an unpickler that knows arrays, bytes and plain containers, and refuses all
else: a file from anywhere cannot run code.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PIXELS = 32 * 32 * 3
CLASSES = 10
HOW = (
    "Unpack the published archive, cifar-10-python.tar.gz or cifar-10-binary.tar.gz (named on the "
    "CIFAR-10 page of the University of Toronto), and give its folder as --data-dir."
)


class Format(NamedTuple):
    """One of the two published forms."""

    folder: str  # that the archive unpacks to
    suffix: str
    read: Callable[[Path], tuple[np.ndarray, np.ndarray]]


def read(data_dir: str | Path | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training pictures and labels, test pictures and labels.

    Args:
      data_dir: the files' folder, or the one that the archive was unpacked in.

    Returns:
      Pictures uint8 (n, 32, 32, 3), labels int32 (n,), in the files' order.

    Raises:
      FileNotFoundError: where files are missing; says what was looked for, where, and how to
        get it.
      ValueError: where a file is damaged; names it.
    """
    if data_dir is None:
        raise FileNotFoundError(f"cifar10 needs a folder of data and downloads nothing. {HOW}")
    root = Path(data_dir)
    looked = []
    for form in FORMATS:
        for folder in (root, root / form.folder):
            names = [f"data_batch_{k}{form.suffix}" for k in range(1, 6)]
            names.append(f"test_batch{form.suffix}")
            missing = [name for name in names if not (folder / name).is_file()]
            if not missing:
                parts = [_checked(form, folder / name) for name in names]
                train = [np.concatenate(column) for column in zip(*parts[:-1], strict=True)]
                return (*train, *parts[-1])  # type: ignore[return-value]
            if len(missing) < len(names):
                raise FileNotFoundError(
                    f"cifar10: {', '.join(missing)} missing in {folder}, beside others. {HOW}"
                )
            looked.append(str(folder))
    raise FileNotFoundError(
        f"cifar10: no data found. Looked for data_batch_1 to data_batch_5 and test_batch, with and "
        f"without .bin, in {', '.join(dict.fromkeys(looked))}. {HOW}"
    )


def _checked(form: Format, path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        pixels, labels = form.read(path)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    except (pickle.UnpicklingError, ImportError, MemoryError, OverflowError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    if len(labels) != len(pixels):
        raise _damaged(path, f"{len(pixels)} pictures but {len(labels)} labels")
    if not len(labels):
        raise _damaged(path, "it holds no pictures")
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise _damaged(path, f"label {labels.max()} or {labels.min()} is not in 0 to {CLASSES - 1}")
    pictures = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pictures), labels.astype(np.int32)


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"cifar10: {path} is damaged: {why}. {HOW}")


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data = np.fromfile(path, np.uint8)
    record = PIXELS + 1
    if data.size % record:
        raise ValueError(f"{data.size} bytes are no whole number of records of {record}")
    rows = data.reshape(-1, record)
    return rows[:, 1:], rows[:, 0].astype(np.int32)


def _read_python(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with path.open("rb") as file:
        batch = _Unpickler(file, encoding="bytes").load()
    if not isinstance(batch, dict):
        raise ValueError("it holds no dictionary")
    named = {k.decode() if isinstance(k, bytes) else k: v for k, v in batch.items()}
    if not {"data", "labels"} <= named.keys():
        raise ValueError("it has no 'data' and 'labels'")
    pixels, labels = named["data"], np.asarray(named["labels"])
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise ValueError("its data are no array of bytes")
    if pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise ValueError(f"its data have shape {pixels.shape}, not (n, {PIXELS})")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError("its labels are no list of integers")
    return pixels, labels


class _Unpickler(pickle.Unpickler):
    """Reads dicts, lists, bytes and arrays of numbers; refuses whatever else a pickle names."""

    def find_class(self, module: str, name: str) -> Any:
        known = _ALLOWED.get((module, name))
        if known is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no data file needs")
        return known

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside of it")


def _latin1(text: str, encoding: str) -> bytes:
    """What protocol 2 writes bytes with."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes bytes in {encoding!r}")
    return text.encode("latin1")


def _reconstruct(kind: Any, shape: Any, code: Any) -> np.ndarray:
    """The empty array that a pickled one starts as."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError("it holds an array of an odd kind")
    return np.empty(0, np.uint8)


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """What protocol 5 makes arrays with."""
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _latin1,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
for _module in ("numpy.core", "numpy._core"):
    _ALLOWED[(f"{_module}.multiarray", "_reconstruct")] = _reconstruct
    _ALLOWED[(f"{_module}.numeric", "_frombuffer")] = _frombuffer

FORMATS = (
    Format("cifar-10-batches-py", "", _read_python),
    Format("cifar-10-batches-bin", ".bin", _read_binary),
)
