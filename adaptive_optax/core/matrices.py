"""Leaves as matrices, and the mathematics of one stack of matrices, shape (..., rows, columns)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import divided, norm
from adaptive_optax.core.checks import check_count, check_steps
from adaptive_optax.core.leaves import broadcast
from adaptive_optax.core.types import Mask


@jax.tree_util.register_static
@dataclass(frozen=True)
class MatrixView:
    """How a leaf is read: leading axes stack, trailing axes are columns, the rest are rows.

    A Flax kernel (in, out), or (height, width, in, out), is `MatrixView()`; a kernel of queries,
    (embed, heads, size), is `MatrixView(outputs=2)`; layers stacked by scan, (layers, in, out),
    are `MatrixView(stacked=1)`.

    Attributes:
      stacked: number of leading axes that number matrices, at least 0.
      outputs: number of trailing axes that are columns, at least 1.
    """

    stacked: int = 0
    outputs: int = 1

    def __post_init__(self) -> None:
        check_count("MatrixView", stacked=self.stacked)
        check_steps("MatrixView", outputs=self.outputs)

    def shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Stack, rows and columns of a leaf of that shape."""
        inner = len(shape) - self.outputs
        if inner < self.stacked:
            raise ValueError(f"{self} reads {self.stacked + self.outputs} axes of shape {shape}.")
        return (
            math.prod(shape[: self.stacked]),
            math.prod(shape[self.stacked : inner]),
            math.prod(shape[inner:]),
        )


def views_of(function: str, matrices: Mask) -> Callable[[Any], list[MatrixView | None]]:
    """From a tree to the view of each leaf, None where it is no matrix.

    Args:
      function: what errors call the optimizer.
      matrices: its argument: a tree of labels, a prefix of one, or a function to one.

    Raises:
      TypeError: at a label that is neither a bool nor a `MatrixView`.
    """

    def view(label: Any) -> MatrixView | None:
        if isinstance(label, MatrixView):
            return label
        if label is None or isinstance(label, bool):
            return MatrixView() if label else None
        raise TypeError(
            f"{function}(matrices=...): a leaf has {label!r}; write True, False, or "
            f"MatrixView(stacked=..., outputs=...)."
        )

    if not callable(matrices):
        for label in jax.tree.leaves(matrices, is_leaf=lambda x: isinstance(x, MatrixView)):
            view(label)
    return lambda tree: [
        view(label) for label in broadcast(function, "matrices", matrices, tree, MatrixView)
    ]


def has_rows_and_columns(params: Any) -> Any:
    """True for the leaves of two axes or more: what is a matrix unless the user says otherwise."""
    return jax.tree.map(lambda p: jnp.ndim(p) >= 2, params)


def orthogonalized(
    x: jax.Array, steps: int, coefficients: tuple[float, float, float], eps: Any
) -> jax.Array:
    """Newton-Schulz steps towards U V' of x = U S V', for a stack of matrices.

    Each step maps a singular value s to a s + b s^3 + c s^5, from s over the Frobenius norm.
    """
    a, b, c = coefficients
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    size = jax.vmap(norm)(x) + jnp.asarray(eps, x.real.dtype)
    x = divided(x, jnp.where(size > 0, size, 1.0)[:, None, None])
    for _ in range(steps):
        square = x @ x.mT.conj()
        x = a * x + (b * square + c * (square @ square)) @ x
    return x.mT if tall else x


def automatic_axes(function: Callable[..., Any], like: Any) -> Any:
    """The function, with arrays on explicit mesh axes handed to the compiler's own sharding.

    Products of matrices that are sharded along what they contract over are ambiguous on explicit
    axes. Outside of explicit meshes this is the function itself.

    Args:
      function: of arrays, positional.
      like: a tree of arrays like the function's result, whose shardings the result gets.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or not mesh.explicit_axes:
        return function
    shardings = jax.tree.map(lambda x: jax.typeof(x).sharding, like)
    return jax.sharding.auto_axes(function, axes=mesh.explicit_axes, out_sharding=shardings)


class Blocks(NamedTuple):
    """A leaf cut into a stack of blocks of one size, the last ones filled up with zeros."""

    leaf: tuple[int, ...]  # shape of the leaf
    whole: tuple[int, int, int]  # stack, rows and columns of the view
    size: tuple[int, int]  # rows and columns of a block

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Blocks along the stack, the rows and the columns."""
        stack, *sides = self.whole
        down, across = (-(-n // size) for n, size in zip(sides, self.size, strict=True))
        return stack, down, across

    def _spare(self) -> tuple[int, int]:
        """Rows and columns that the blocks have and the leaf has not."""
        _, down, across = self.numbers
        return down * self.size[0] - self.whole[1], across * self.size[1] - self.whole[2]

    def cut(self, x: jax.Array) -> jax.Array:
        """The blocks of a leaf, shape (blocks, rows, columns)."""
        stack, down, across = self.numbers
        spare = self._spare()
        x = jnp.pad(x.reshape(self.whole), ((0, 0), (0, spare[0]), (0, spare[1])))
        x = x.reshape(stack, down, self.size[0], across, self.size[1])
        return x.transpose(0, 1, 3, 2, 4).reshape(-1, *self.size)

    def join(self, blocks: jax.Array) -> jax.Array:
        """The leaf of these blocks, without what filled them up."""
        stack, down, across = self.numbers
        x = blocks.reshape(stack, down, across, *self.size).transpose(0, 1, 3, 2, 4)
        x = x.reshape(stack, down * self.size[0], across * self.size[1])
        return x[:, : self.whole[1], : self.whole[2]].reshape(self.leaf)

    def spare(self, side: int) -> jax.Array:
        """1 where a block's row (side 0) or column (side 1) only fills it up, shape (blocks, n)."""
        axis = side + 1
        within = jnp.arange(self.numbers[axis] * self.size[side]) >= self.whole[axis]
        within = within.reshape(self.numbers[axis], self.size[side])
        shape = [1, 1, 1, self.size[side]]
        shape[axis] = self.numbers[axis]
        return jnp.broadcast_to(within.reshape(shape), (*self.numbers, self.size[side])).reshape(
            -1, self.size[side]
        )


def blocks_of(view: MatrixView, shape: tuple[int, ...], size: int | None) -> Blocks:
    """The blocks of a leaf whose sides are at most `size`; None does not cut."""
    whole = view.shape(shape)
    rows, columns = (max(min(n, size or n), 1) for n in whole[1:])
    return Blocks(tuple(shape), whole, (rows, columns))


def times(*factors: jax.Array) -> jax.Array:
    """The product of stacks of matrices, in full precision on every platform."""
    product = factors[0]
    for factor in factors[1:]:
        product = jnp.matmul(product, factor, precision="highest")
    return product


def adjoint(x: jax.Array) -> jax.Array:
    """The conjugate transpose of each matrix."""
    return x.mT.conj()


@jax.custom_batching.sequential_vmap
def next_basis(
    turn: jax.Array, gram: jax.Array, basis: jax.Array, spare: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The next basis of a stack of Hermitian matrices, and the order of the last one's columns.

    Under vmap one run comes after the other. A switch between runs that are batched would compute
    all of its branches at every step, and on the CPU eigh and qr that run at once can block each
    other for ever.

    Args:
      turn: 0 for the last basis; 1 for the eigenvectors as columns, largest eigenvalue first and
        spare ones last; 2 for one step of orthogonal iteration from the last basis.
      gram: the matrices, shape (stack, n, n).
      basis: the last basis, shape (stack, n, n).
      spare: 1 where a row only fills a block up, shape (stack, n).
    """
    gram = _marked(gram, spare)
    same = jnp.broadcast_to(jnp.arange(gram.shape[-1]), gram.shape[:-1])

    def stay() -> Any:
        return basis, same

    def start() -> Any:
        return jnp.linalg.eigh(gram)[1][..., ::-1], same

    def step() -> Any:
        sizes = jnp.einsum("...ij,...ij->...j", basis.conj(), times(gram, basis)).real
        order = jnp.argsort(-sizes, axis=-1)
        ordered = jnp.take_along_axis(basis, order[..., None, :], axis=-1)
        return jnp.linalg.qr(times(gram, ordered))[0], order

    basis, order = jax.lax.switch(turn, [stay, start, step])
    return basis, order


def _marked(gram: jax.Array, spare: jax.Array) -> jax.Array:
    """Of size 1, with the eigenvalue -1 for what only fills a block up."""
    largest = jnp.max(jnp.abs(gram), axis=(-2, -1), keepdims=True, initial=0.0)
    unit = divided(gram, jnp.where(largest > 0, largest, 1.0))
    eye = jnp.eye(gram.shape[-1], dtype=gram.dtype)[None]
    return unit - eye * spare[:, None, :].astype(gram.dtype)
