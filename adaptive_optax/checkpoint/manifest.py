"""The manifest of a folder: each file's size and SHA-256, and words of the writer's own.

It is JSON in a signed file, so data only; the names in it are compared with the files that are
there and never opened.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from adaptive_optax.checkpoint.checksummed_file import DamagedError, read_signed, sync, write_signed

NAME = "manifest.json"
BLOCK = 1 << 20  # bytes read at a time


def write_manifest(folder: Path, words: dict[str, Any]) -> None:
    """Writes the manifest of what is in the folder, and waits until all is on the disk.

    Args:
      folder: whose files are complete.
      words: what else to keep, as JSON has it.

    Raises:
      OSError: where a file cannot be read, or the manifest not written.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "some").write_text("abc")
    3
    >>> write_manifest(folder, {"step": 3})
    >>> read_manifest(folder)
    {'step': 3}
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        sync(path)
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = [path.stat().st_size, _digest(path)]
    sync(folder)
    write_signed(folder / NAME, json.dumps({"words": words, "files": found}))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The words of the manifest, where every file is what it was.

    Raises:
      DamagedError: names the file that is not, and says what is wrong with it.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "some").write_text("abc")
    3
    >>> write_manifest(folder, {})
    >>> (folder / "some").write_text("abd")
    3
    >>> read_manifest(folder)
    Traceback (most recent call last):
    adaptive_optax.checkpoint.checksummed_file.DamagedError: some has other bytes than were written
    """
    try:
        kept = json.loads(read_signed(folder / NAME))
        words, files = kept["words"], kept["files"]
        expected = {name: (int(size), str(digest)) for name, (size, digest) in files.items()}
    except DamagedError as error:
        raise DamagedError(f"{NAME}: {error}") from None
    except FileNotFoundError:
        raise DamagedError(f"{NAME} is missing") from None
    except OSError as error:
        raise DamagedError(f"{NAME} cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{NAME} is no manifest ({error!r})") from error
    there = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    for name, (size, digest) in expected.items():
        if name not in there:
            raise DamagedError(f"{name} is missing")
        try:
            actual = there[name].stat().st_size
            if actual != size:
                raise DamagedError(f"{name} has {actual} bytes and not {size}")
            if _digest(there[name]) != digest:
                raise DamagedError(f"{name} has other bytes than were written")
        except OSError as error:
            raise DamagedError(f"{name} cannot be read ({error.strerror or error})") from error
    return words


def _digest(path: Path) -> str:
    """The SHA-256 of a file, read in blocks."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()
