"""Paths that a user gives: checked, and named in the error if they cannot be written."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def checked_path(function: str, name: str, value: Any) -> Path:
    """Return the path; anything but a string or a path raises TypeError."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{function}({name}={value!r}): {name} must be a string or a Path.")
    return Path(value)


@contextlib.contextmanager
def writing(call: str, what: str = "file") -> Iterator[None]:
    """Name the call, and the way out, in the error of a file that cannot be written."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{call}: cannot write there ({error.strerror or error}); give another {what}."
        ) from error
