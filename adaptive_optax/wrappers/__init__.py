"""Wrappers, inner -> outer, over any optax transformation."""
