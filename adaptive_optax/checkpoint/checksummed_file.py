"""Text files that are whole or not there, and that tell when a byte of theirs was changed.

The text is one line; the next one is its SHA-256. This finds damage, not forgery: who may write the
file may write the digest too.
"""

import hashlib
import os
from pathlib import Path


class DamagedError(ValueError):
    """What a file holds is not what was written to it; the text says why."""


def write_signed(path: Path, text: str) -> None:
    """Writes a line of text and its digest: after a kill or on a full disk, all of it or nothing.

    Args:
      path: the file, in a folder that exists; what it held is replaced.
      text: without line ends.

    Raises:
      OSError: where it cannot be written; the file is as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "some.json")
    >>> write_signed(path, "{}")
    >>> read_signed(path)
    '{}'
    """
    body = text.encode()
    write_whole(path, body + b"\n" + _digest(body) + b"\n")


def read_signed(path: Path) -> str:
    """The text that `write_signed` wrote.

    Raises:
      DamagedError: where the file is not to the byte what was written.
      OSError: where it cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "some.json")
    >>> path.write_text("{}") and read_signed(path)
    Traceback (most recent call last):
    adaptive_optax.checkpoint.checksummed_file.DamagedError: it is cut off, or no file of ours
    """
    data = path.read_bytes()
    body, *rest = data.split(b"\n")
    if len(rest) != 2:
        raise DamagedError("it is cut off, or no file of ours")
    if rest != [_digest(body), b""]:
        raise DamagedError("its SHA-256 is not the one that was written with it")
    return body.decode()


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file beside and renames it: after a kill or on a full disk, all of it or nothing.

    Raises:
      OSError: where it cannot be written; the file is as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "some.txt")
    >>> write_whole(path, b"new")
    >>> [each.name for each in path.parent.iterdir()]
    ['some.txt']
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
