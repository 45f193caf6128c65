"""A perceptron with ReLU between its layers, in Flax."""

import flax.linen as nn
import jax


class MLP(nn.Module):
    """Dense layers of these widths, the last one the outputs."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Outputs (batch, last width) of inputs (batch, features)."""
        for width in self.widths[:-1]:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.widths[-1])(x)
