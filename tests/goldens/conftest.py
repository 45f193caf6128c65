"""The scripts that made the goldens need torch, Keras or optax: no test imports them."""

collect_ignore_glob = ["make_*.py"]
