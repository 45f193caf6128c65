"""Frozen trajectories of other libraries, with the scripts that made them. See README.md."""

from .record import Golden, load

__all__ = ["Golden", "load"]
