"""``jopt.Slice``: what ``workers=`` is given where several processes share a sweep."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from jopt.sweeps.launched import place_of
from jopt.values.numbers import seconds, whole

SILENT_S = 180.0  # after which a process that has not been heard of counts as dead, where lanes are taken over


@dataclasses.dataclass(frozen=True)
class Slice:
    """One of several processes that share a sweep by a directory: each runs its part of the lanes.

    Every process makes the same call, with ``checkpoint=`` naming the same directory and ``workers=jopt.Slice(index, count)``.
    It runs the lanes whose number, seed after seed, leaves ``index`` when divided by ``count``, as far as they have not been
    trained, and writes a file of its own. None waits for another. Each returns what the directory holds when its own lanes
    have ended: lanes that have not run have ``steps_done`` 0 and NaN, and ``result.complete`` is False then. Who comes last,
    or calls again, has all of it. Which lanes are whose makes no difference to what comes of them.

    A process that died is started again, with the same index and count, and runs what is missing of its lanes; or all are, with
    another count; or the call is made without ``workers=``, and runs all that is missing. With ``take_over``, processes that
    have come to their end go on with lanes that nobody runs.

    Args:
      index: Which process this is, from 0.
      count: How many there are.
      take_over: Whether to go on, after the lanes of one's own, with those of processes that never began, that have ended
        early, or from which nothing was heard for three minutes; or for how long, "10min" or seconds. A process that begins
        later runs its lanes itself all the same.

    Raises:
      ValueError: For an index that is not below the count, or a time that makes no sense.

    Example:
      >>> rates = jopt.sgd(jopt.geomspace(0.1, 1.0, 4))
      >>> def part(index):
      ...     options = {"steps": 5, "checkpoint": "shared", "progress": False}
      ...     return jopt.sweep(lambda x, _: (x**2).sum(), jnp.ones(2), rates, workers=jopt.Slice(index, 2), **options)
      >>> part(0).complete
      False
      >>> part(1).complete
      True
    """

    index: int
    count: int
    take_over: bool | str | float = False

    def __post_init__(self) -> None:
        whole("Slice: count", self.count)
        whole("Slice: index", self.index, at_least=0)
        if self.index >= self.count:
            raise ValueError(f"Slice: index must be from 0 to count - 1 = {self.count - 1}, but is {self.index}.")
        if not isinstance(self.take_over, bool):
            seconds("Slice: take_over", self.take_over)

    @property
    def silent_s(self) -> float | None:
        """The seconds without a sign of life after which lanes are taken over; None: they are not."""
        if isinstance(self.take_over, bool):
            return SILENT_S if self.take_over else None
        return seconds("Slice: take_over", self.take_over)

    @classmethod
    def from_environment(
        cls,
        *,
        take_over: bool | str | float = False,
        count: int | None = None,
        first: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Slice:
        """The slice of this process, as its scheduler or launcher tells by environment variables.

        Known are Slurm (``srun``, job arrays, and ``srun`` inside of an array, which makes the product of both), Open MPI and
        others (``mpirun``), Flux, and job arrays of Grid Engine, AWS Batch and Cloud Run; with ``count`` and ``first`` those
        of PBS, Torque, LSF and Kubernetes, which tell their number alone.

        Args:
          take_over: As of ``Slice``.
          count: How many tasks an array has; where that is told, too, it must be the same.
          first: With which number an array begins that tells nothing else.
          environment: Names and values; None: those of this process.

        Returns:
          The slice.

        Raises:
          ValueError: Where nothing is told, or what does not go together; it says what was looked for.

        Example:
          >>> jopt.Slice.from_environment(
          ...     environment={"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "8"}
          ... )
          Slice(index=2, count=8, take_over=False)
        """
        place = place_of(os.environ if environment is None else environment, count, first)
        return cls(place.number, place.of, take_over)
