"""The scripts that made the goldens need torch, Keras or optax, and run by themselves."""

collect_ignore_glob = ["make_*.py", "cases_*.py"]
