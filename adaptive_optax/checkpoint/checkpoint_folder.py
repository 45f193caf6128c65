"""Checkpoints in a folder: each one whole or not there, and damage is found before it is used.

A checkpoint is written by Orbax to a folder that does not count yet. Its manifest with the size and
the SHA-256 of every file is added, all is brought to the disk, and one rename makes it count; only
then are old ones removed. So a kill, or a full disk, at any moment leaves the checkpoints that were
there. Checkpoints count in the order in which they were written, whatever their steps are.

    <folder>/00000012_step_3400/manifest.json
    <folder>/00000012_step_3400/arrays/...            as Orbax writes them

One process at a time may write to a folder.
"""

import contextlib
import errno
import operator
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import jax

from adaptive_optax.checkpoint import through_orbax
from adaptive_optax.checkpoint.checksummed_file import DamagedError, sync
from adaptive_optax.checkpoint.manifest import read_manifest, write_manifest
from adaptive_optax.checkpoint.tree_form import PLAIN, check_forms, forms
from adaptive_optax.core.checks import check_steps
from adaptive_optax.core.leaves import is_none

VERSION = 1
ARRAYS = "arrays"
UNFINISHED, REMOVED = ".unfinished_", ".removed_"  # what such names begin with does not count
_NAME = re.compile(r"(\d{8,})_step_(\d+)")
_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "your share of the disk is full"}


def save_checkpoint(folder: str | os.PathLike[str], step: int, tree: Any, *, keep: int = 3) -> Path:
    """Writes a checkpoint that a kill at any moment leaves whole or not there.

    Args:
      folder: for all checkpoints of a run; made where it is missing.
      step: how many steps are done, an integer of at least 0.
      tree: parameters, the optimizer's state, counters, PRNG keys: arrays, Python numbers, texts
        and None in any tree.
      keep: how many checkpoints stay, at least 1; older ones are removed when this one is complete.

    Returns:
      The checkpoint's own folder.

    Raises:
      TypeError, ValueError: for an argument or a leaf of the wrong kind or range.
      ImportError: where Orbax is not installed.
      OSError: where it cannot be written, such as on a full disk; earlier checkpoints are whole.

    >>> import jax.numpy as jnp, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for step in (10, 20):
    ...     path = save_checkpoint(folder, step, {"w": jnp.full(2, step), "seed": 7})
    >>> restore_checkpoint(folder, {"w": jnp.zeros(2, jnp.int32), "seed": 0})
    (20, {'seed': 7, 'w': Array([20, 20], dtype=int32)})
    """
    check_steps("save_checkpoint", keep=keep)
    step = _checked_step(step)
    if jax.process_count() > 1:
        raise NotImplementedError(
            "save_checkpoint: it writes from one process, and here are "
            f"{jax.process_count()}; use Orbax itself, or save what one process gathered."
        )
    words = {"version": VERSION, "step": step, "leaves": forms("save_checkpoint", tree)}
    ocp = through_orbax.imported("save_checkpoint")
    root = _root("save_checkpoint", folder)
    beside = root / f"{UNFINISHED}{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _clear(root)
        beside.mkdir()
        through_orbax.write(ocp, beside / ARRAYS, jax.tree.leaves(tree, is_leaf=is_none))
        write_manifest(beside, words)
        kept = _kept(root)
        number = kept[-1][0] + 1 if kept else 0
        final = root / f"{number:08}_step_{step}"
        beside.rename(final)
        sync(root)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        told = _told(error)
        if told is None:
            raise
        raise OSError(
            told[0],
            f"save_checkpoint(folder={str(root)!r}): step {step} could not be written, since "
            f"{told[1]}; make room, or give another folder. Earlier checkpoints are whole",
        ) from error
    for _, path in _kept(root)[:-keep]:
        _remove(path)
    return final


def restore_checkpoint(folder: str | os.PathLike[str], like: Any) -> tuple[int, Any]:
    """The newest checkpoint of a folder that is undamaged.

    Of a damaged one a warning tells what is wrong with it, and the one before is used. Nothing is
    unpickled or evaluated: files are compared with their digests, and read as numbers.

    Args:
      folder: what `save_checkpoint` was given.
      like: a tree of the structure, shapes and dtypes that were saved, such as the state that init
        returns, or shapes from `jax.eval_shape`. Arrays come back sharded like its own.

    Returns:
      The step, and the tree.

    Raises:
      FileNotFoundError: where the folder holds no checkpoint: the run has yet to begin.
      ValueError: where all are damaged, with the reason for each; or where a leaf has another
        place, shape or dtype than `like` has, with its path.
      ImportError: where Orbax is not installed.

    >>> import tempfile
    >>> restore_checkpoint(tempfile.mkdtemp(), {})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: restore_checkpoint(folder='...'): there is no checkpoint in it; ...
    """
    ocp = through_orbax.imported("restore_checkpoint")
    root = _root("restore_checkpoint", folder)
    kept = _kept(root)
    if not kept:
        raise FileNotFoundError(
            f"restore_checkpoint(folder={str(root)!r}): there is no checkpoint in it; begin anew, "
            f"or give the folder that save_checkpoint was given."
        )
    damaged = []
    for _, path in reversed(kept):
        try:
            words = _words(path)
        except DamagedError as error:
            damaged.append(f"{path}: {error}")
            continue
        for each in damaged:
            warnings.warn(
                f"restore_checkpoint: {each}; it is damaged and passed over for {path.name}.",
                stacklevel=2,
            )
        return words["step"], _restored(ocp, path, words, like)
    lines = "\n  ".join(damaged)
    raise ValueError(
        f"restore_checkpoint(folder={str(root)!r}): every checkpoint in it is damaged; restore "
        f"them from a copy, or remove them to begin anew:\n  {lines}"
    )


def _words(path: Path) -> dict[str, Any]:
    words = read_manifest(path)
    version = words.get("version") if isinstance(words, dict) else None
    if version != VERSION:
        raise DamagedError(f"its version is {version!r}, and this library reads {VERSION}")
    return words


def _restored(ocp: Any, path: Path, words: dict[str, Any], like: Any) -> Any:
    check_forms(str(path), words["leaves"], like)
    leaves, treedef = jax.tree.flatten(like, is_leaf=is_none)
    try:
        found = through_orbax.read(ocp, path / ARRAYS, leaves)
    except Exception as error:  # no damage: an older checkpoint would fare no better
        error.add_note(f"restore_checkpoint: while Orbax read {path}, whose files are undamaged.")
        raise
    for k, (_, _, _, value) in enumerate(words["leaves"]):
        if type(leaves[k]) in PLAIN:
            found[k] = value
    return jax.tree.unflatten(treedef, found)


def _kept(root: Path) -> list[tuple[int, Path]]:
    """The checkpoints of a folder with their numbers, oldest first."""
    if not root.is_dir():
        return []
    found = ((_NAME.fullmatch(path.name), path) for path in root.iterdir())
    return sorted((int(name[1]), path) for name, path in found if name and path.is_dir())


def _clear(root: Path) -> None:
    """Removes what runs that were killed left behind."""
    for path in root.iterdir():
        if path.name.startswith((UNFINISHED, REMOVED)):
            shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> None:
    """Removes a checkpoint that, half removed, is none; one that cannot be is left."""
    away = path.with_name(REMOVED + path.name)
    with contextlib.suppress(OSError):
        path.rename(away)
        shutil.rmtree(away)


def _root(function: str, folder: Any) -> Path:
    try:
        return Path(folder)
    except TypeError:
        raise TypeError(f"{function}(folder={folder!r}): folder must be a path.") from None


def _checked_step(step: Any) -> int:
    try:
        found = operator.index(step)
    except TypeError:
        found = None
    if found is None or isinstance(step, bool):
        raise TypeError(f"save_checkpoint(step={step!r}): step must be an integer.")
    if found < 0:
        raise ValueError(f"save_checkpoint(step={found}): step must be at least 0.")
    return found


def _told(error: BaseException) -> tuple[int, str] | None:
    """The number and words of the system's error behind one that Orbax may have raised."""
    seen: BaseException | None = error
    while seen is not None:
        number = seen.errno if isinstance(seen, OSError) else None
        named = re.search(r"os_error_code='(\d+)'", str(seen))  # of its library in C++
        number = int(named[1]) if named else number
        if number is not None:
            return number, _FULL.get(number, os.strerror(number).lower())
        seen = seen.__cause__ or seen.__context__
    return None
