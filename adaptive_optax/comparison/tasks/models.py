"""LeNet-5 (LeCun et al., 1998) in Flax, with convolutions written as matrix products.

A convolution whose kernel is vmapped over learning rates is slow on the CPU (about seven times a
matrix product over patches at this size), hence `PatchConv`. Inside, the batch is the last axis:
every slice, bias and pooling then runs along contiguous memory.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp


class PatchConv(nn.Module):
    """A convolution of (channels, height, width, batch) as one matrix product over patches."""

    features: int
    size: int = 5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Gives (features, height - size + 1, width - size + 1, batch)."""
        channels, height, width, batch = x.shape
        high, wide = height - self.size + 1, width - self.size + 1
        rows = jnp.concatenate([x[:, i : i + high] for i in range(self.size)])
        patches = jnp.concatenate([rows[:, :, j : j + wide] for j in range(self.size)])
        area = channels * self.size**2
        initial = nn.initializers.lecun_normal(in_axis=1, out_axis=0)
        kernel = self.param("kernel", initial, (self.features, area), x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features, 1), x.dtype)
        product = kernel @ patches.reshape(area, high * wide * batch) + bias
        return product.reshape(self.features, high, wide, batch)


class LeNet5(nn.Module):
    """conv 6@5x5, pool, conv 16@5x5, pool, 120, 84, classes; with ReLU and max-pooling."""

    classes: int = 10
    padding: int = 0  # pixels of zeros around the picture, before the first convolution

    @nn.compact
    def __call__(self, pictures: jax.Array) -> jax.Array:
        """Logits (batch, classes) of pictures (batch, height, width, channels)."""
        edge = (self.padding, self.padding)
        x = jnp.pad(jnp.transpose(pictures, (3, 1, 2, 0)), ((0, 0), edge, edge, (0, 0)))
        x = _pooled(nn.relu(PatchConv(6)(x)))
        x = _pooled(nn.relu(PatchConv(16)(x)))
        x = x.reshape(-1, x.shape[-1]).T
        x = nn.relu(nn.Dense(120)(x))
        x = nn.relu(nn.Dense(84)(x))
        return nn.Dense(self.classes)(x)


def _pooled(x: jax.Array) -> jax.Array:
    """Maximum over squares of 2 x 2."""
    channels, height, width, batch = x.shape
    return x.reshape(channels, height // 2, 2, width // 2, 2, batch).max((2, 4))


class MLP(nn.Module):
    """Dense layers of these widths, the last one the outputs."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Outputs (batch, last width) of inputs (batch, features)."""
        for width in self.widths[:-1]:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.widths[-1])(x)
