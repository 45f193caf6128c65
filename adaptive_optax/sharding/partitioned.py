"""Partitioned: the optimizer's work and memory shared out over the devices that hold copies.

Rajbhandari, Rasley, Ruwase & He, 2020, arXiv:1910.02054 (the first stage of ZeRO):
    each device keeps its part of the slots, and reads its part of g and p
    u_part, slots_part <- inner(g_part, slots_part, p_part)
    u <- all parts of u, gathered

In data-parallel training all devices hold the same parameters, and would keep the same slots and
compute the same update. When to use it: the slots take memory that activations need. It costs one
all-gather of the updates a step. Departures: each array is cut along one of its axes, where the
paper cuts one flat buffer, so that any transformation can be inside, blocks of `stored` too.
"""

import functools
from typing import Any

import jax
import optax

from adaptive_optax.core.checks import check_transformation
from adaptive_optax.core.leaves import pair_leaves
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.sharding.partition_axis import Partition


@constructor
def partitioned(
    inner: optax.GradientTransformation,
    mesh: jax.sharding.Mesh,
    axis: str | tuple[str, ...],
    *,
    specs: Any = None,
) -> Transformation:
    """Any optimizer, with its slots spread over a mesh axis along which parameters are copies.

    Put it outermost, around `stored` too. An inner one that reduces over whole arrays gets the
    same numbers, at the price of further collectives.

    Args:
      inner: any optax transformation.
      mesh: of the devices.
      axis: the mesh axis to spread over, or several of them; that of the data.
      specs: where the parameters lie, as of `state_shardings`, where some of them are sharded
        themselves on a mesh of Auto axes; Explicit axes tell it. None: they are copies along
        `axis`. A parameter that is spread over `axis` already is left as it is.

    Returns:
      A transformation with the inner one's state; its updates lie where the parameters do. An
      array is cut along its longest axis that the devices divide, in the parameter and in all slots
      that have it, so that no block of `stored` is cut; one without such an axis stays whole. It
      forwards extra arguments.

    Raises:
      TypeError: where inner is no transformation, or mesh no mesh.
      ValueError: where axis is none of the mesh, or specs do not fit the parameters.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> mesh = jax.make_mesh((jax.device_count(),), ("data",))
    >>> tx = ao.partitioned(ao.adamw(1e-3), mesh, "data")
    >>> params = {"kernel": jnp.ones((16 * jax.device_count(), 8))}
    >>> state = tx.init(params)
    >>> optax.tree.get(state, "mu")["kernel"].addressable_shards[0].data.shape
    (16, 8)
    """
    check_transformation(inner=inner)
    wrapped = optax.with_extra_args_support(inner)
    return Partitioned(wrapped, mesh, _names(mesh, axis), specs).transformation()


class Partitioned(Body):
    """An optimizer with its slots spread over mesh axes."""

    inner: optax.GradientTransformationExtraArgs
    mesh: jax.sharding.Mesh
    axes: tuple[str, ...]
    specs: Any

    shares_state = True

    @functools.cached_property
    def partition(self) -> Partition:
        """Where each array is cut."""
        return Partition(self.inner.init, self.mesh, self.axes, self.specs)

    def init(self, params: Any) -> Any:
        return self.partition.state(self.inner.init(params), self.partition.plan(params))

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        pair_leaves(self.name, grads, params)
        like = grads if params is None else params
        cut = self.partition
        plan = cut.plan(like)
        grads = cut.parts(grads, like, plan)
        own = None if params is None else cut.parts(params, like, plan)
        updates, state = self.inner.update(grads, state, own, **extra_args)
        return cut.whole(updates, like, plan), cut.state(state, plan)


def _names(mesh: Any, axis: str | tuple[str, ...]) -> tuple[str, ...]:
    """The mesh axes as a tuple, checked."""
    if not isinstance(mesh, jax.sharding.Mesh):
        raise TypeError(
            f"partitioned(mesh={mesh!r}): mesh must be a jax.sharding.Mesh, such as "
            f'jax.make_mesh((jax.device_count(),), ("data",)).'
        )
    names = axis if isinstance(axis, tuple) else (axis,)
    if not names or any(name not in mesh.axis_names for name in names):
        known = ", ".join(map(repr, mesh.axis_names))
        raise ValueError(
            f"partitioned(axis={axis!r}): axis must be one of the mesh's, or a tuple of them: "
            f"{known}."
        )
    return names
