"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., 2024, arXiv:2409.11321).

    left <- s left + (1 - s) g g'        right <- s right + (1 - s) g' g
    r = Q_left' g Q_right               the gradient in the basis
    mu, nu: Adam's averages of r        d = Q_left [mu_hat / (sqrt(nu_hat) + eps)] Q_right'
    every k-th step Q <- qr(left Q), its columns sorted by their eigenvalues, for each side

The first call takes the bases from eigh(left) and eigh(right) and does not move. Two slots a
parameter, and 2 m^2 + 2 n^2 numbers for a matrix of m x n. When to use it: dense and convolutional
nets whose sides fit, at about Adam's rate, with few steps; a step costs more than Adam's.
Departures: none from the authors' code, but that `descend` decays before the step. mu is kept in
the parameter's basis and rotated, which is the same average. Mind eps: in directions without
gradient, such as those of a small batch, float32 leaves rounding of 1e-7 of the gradient's size, of
which the quotient makes whole steps unless eps is above it.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    beside,
    bias,
    debias,
    denominator,
    divided,
    ema,
    ema_of_squares,
    real_slot,
    summable,
    zeros_slot,
)
from adaptive_optax.core.checks import caller
from adaptive_optax.core.descend import descend
from adaptive_optax.core.lifting import lift
from adaptive_optax.core.matrices import (
    Blocks,
    MatrixView,
    adjoint,
    automatic_axes,
    blocks_of,
    has_rows_and_columns,
    next_basis,
    times,
    views_of,
)
from adaptive_optax.core.roles import NonNegative, Signed
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule, Steps
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class SoapSlots(NamedTuple):
    """What SOAP remembers; stacks of square matrices for the blocks, None for a side without."""

    mu: Signed  # average gradient
    nu: NonNegative  # average of |r|^2, in the basis
    left: Any  # average of g g', shape (blocks, rows, rows)
    right: Any  # average of g' g, shape (blocks, columns, columns)
    left_basis: Any  # Q_left, shaped like left
    right_basis: Any  # Q_right, shaped like right


class Soap(Rule):
    """SOAP's direction; `step.label` is the view of the leaf, None if it is no matrix.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      shampoo_decay: decay of left and right, in [0, 1); None takes b2.
      eps: keeps the denominator off zero, at least 0.
      every: steps from one turn of the bases to the next, at least 1.
      max_size: a longer side has no basis, and so no matrices; at least 1.
      block_size: cuts a longer side into the fewest equal blocks of at most this size, at least
        1; None does not cut.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.
    """

    b1: Fraction = 0.95
    b2: Fraction = 0.95
    shampoo_decay: Fraction | None = None
    eps: AtLeastZero = 1e-8
    every: Steps = 10
    max_size: Steps = 10000
    block_size: Steps | None = None

    Slots = SoapSlots
    elementwise = False
    scale_invariant = True

    def blocks(self, shape: tuple[int, ...], view: MatrixView | None) -> Blocks:
        """The blocks of a leaf."""
        return blocks_of(view or MatrixView(), shape if view else (1,), self.block_size)

    def init(self, p: Any, *label: Any) -> SoapSlots:
        (view,) = label
        blocks = self.blocks(p.shape, view)
        stack = math.prod(blocks.numbers)

        def square(side: int, start: Any) -> Any:
            size = blocks.size[side]
            if view is None or size > self.max_size:
                return None
            return jnp.broadcast_to(start(size), (stack, size, size))

        zeros = partial(square, start=lambda size: jnp.zeros((size, size), p.dtype))
        eye = partial(square, start=lambda size: jnp.eye(size, dtype=p.dtype))
        return SoapSlots(zeros_slot(p), real_slot(p), zeros(0), zeros(1), eye(0), eye(1))

    def per_step(self, step: Step) -> Any:
        moves = jnp.maximum(step.count - 1, 1)
        later = jnp.where((step.count - 1) % self.every == 0, 2, 0)
        turn = jnp.where(step.count == 1, 1, later)
        return turn, bias(self.b1, moves), bias(self.b2, moves)

    def waits(self, step: Step) -> Any:
        return step.shared[0] == 1

    def update(self, g: Array, slots: SoapSlots, p: Any, step: Step) -> Moved[SoapSlots]:
        blocks = self.blocks(g.shape, step.label)
        u, new = automatic_axes(partial(self.move, blocks), (g, slots))(g, slots, step.shared)
        return u, new

    def move(
        self, blocks: Blocks, g: Array, slots: SoapSlots, shared: Any
    ) -> tuple[Array, SoapSlots]:
        """The direction and the new slots, on automatic mesh axes."""
        turn, mu_bias, nu_bias = shared
        first = turn == 1
        bases = slots.left_basis, slots.right_basis
        mu = ema(slots.mu, g, self.b1)
        r = rotated(blocks, bases, g)
        nu = ema_of_squares(slots.nu, r, self.b2)
        root = denominator(nu, self.eps, "uncorrected", correction=nu_bias)
        u = divided(debias(rotated(blocks, bases, mu), mu_bias), root)
        u = rotated(blocks, bases, u, back=True)
        u, mu, nu = (
            jnp.where(first, y, x) for x, y in ((u, 0 * u), (mu, slots.mu), (nu, slots.nu))
        )
        decay = self.b2 if self.shampoo_decay is None else self.shampoo_decay
        averages, new = [], []
        for side, (average, basis) in enumerate(zip((slots.left, slots.right), bases, strict=True)):
            if basis is not None:
                average = ema(average, gram(blocks, g, side), decay)
                basis, nu = turned(blocks, side, turn, average, basis, nu)
            averages.append(average)
            new.append(basis)
        return beside(g, u), SoapSlots(mu, beside(g, nu), *averages, *new)


@constructor
def scale_by_soap(
    b1: Scalar = 0.95,
    b2: Scalar = 0.95,
    shampoo_decay: Scalar | None = None,
    eps: Scalar = 1e-8,
    every: int = 10,
    max_size: int = 10000,
    block_size: int | None = None,
    matrices: Mask = has_rows_and_columns,
) -> Transformation:
    """SOAP's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      shampoo_decay: decay of left and right, in [0, 1); None takes b2.
      eps: keeps the denominator off zero, at least 0.
      every: steps from one turn of the bases to the next, at least 1.
      max_size: a longer side has no basis, and so no matrices; at least 1.
      block_size: cuts a longer side into the fewest equal blocks of at most this size, at least
        1; None does not cut.
      matrices: which leaves are matrices, and how they are read, as in `scale_by_muon`. All
        others have Adam's direction, without one at the first call.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.
    """
    rule = Soap(b1, b2, shampoo_decay, eps, every, max_size, block_size)
    return lift(rule, labels=views_of(caller(), matrices)).transformation()


@constructor
def soap(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.95,
    b2: Scalar = 0.95,
    shampoo_decay: Scalar | None = None,
    eps: Scalar = 1e-8,
    every: int = 10,
    max_size: int = 10000,
    block_size: int | None = None,
    matrices: Mask = has_rows_and_columns,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """SOAP, the direction of `scale_by_soap` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = soap(0.25)
    >>> params = jnp.zeros((2, 2))
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     updates, state = tx.update(jnp.array([[3.0, 0.0], [0.0, -4.0]]), state, params)
    >>> updates.round(4).tolist()
    [[-0.25, -0.0], [-0.0, 0.25]]
    """
    direction = scale_by_soap(b1, b2, shampoo_decay, eps, every, max_size, block_size, matrices)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)


def rotated(blocks: Blocks, bases: tuple[Any, Any], x: Array, back: bool = False) -> Array:
    """A leaf in the bases of its blocks, or back from them; a side without basis stays."""
    left, right = bases
    if left is None and right is None:
        return x
    x = blocks.cut(x)
    if left is not None:
        x = times(left if back else adjoint(left), x)
    if right is not None:
        x = times(x, adjoint(right) if back else right)
    return blocks.join(x)


def gram(blocks: Blocks, g: Array, side: int) -> Array:
    """Of each block g g' (side 0) or g' g (side 1)."""
    x = blocks.cut(summable(g))
    return times(x, adjoint(x)) if side == 0 else times(adjoint(x), x)


def turned(
    blocks: Blocks, side: int, turn: Array, average: Array, basis: Array, nu: Array
) -> tuple[Array, Array]:
    """The next basis of one side, as `next_basis` has it, and nu in the order of its columns."""
    given = jax.lax.stop_gradient((average, basis))
    basis, order = next_basis(turn, *given, blocks.spare(side))
    along = order[:, :, None] if side == 0 else order[:, None, :]

    def ordered(nu: Array) -> Array:
        return blocks.join(jnp.take_along_axis(blocks.cut(nu), along, axis=side + 1))

    return basis, jax.lax.cond(turn == 2, ordered, lambda nu: nu, nu)


RECORDS = (
    OptimizerRecord(
        constructor=soap,
        rule=Soap,
        family="matrix",
        formula="Adam in the eigenbasis of g g' and g' g",
        when="dense and convolutional nets, fewer but dearer steps",
        learning_rate=0.003,
        presets={"paper": {}},
        memory="2 + 2 (m²+n²) / mn",
        state_leaves=10,
        note="as a (2, 1) matrix",
        variants={"soap-blocks": Variant({"block_size": 2, "max_size": 3, "every": 3})},
    ),
)
