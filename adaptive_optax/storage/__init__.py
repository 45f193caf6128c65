"""An optimizer's memory in few bytes, over any optax transformation."""
