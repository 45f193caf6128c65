"""Metrics of a run: written to files and terminals, streamed out of jit, and read back."""
