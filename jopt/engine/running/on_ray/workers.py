"""``workers=jopt.RayWorkers(...)``: what a user asks for."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jopt.values import require
from jopt.values.numbers import seconds, whole


@dataclasses.dataclass(frozen=True)
class RayWorkers:
    """Runs the blocks of a sweep in processes of Ray, on this machine or on a cluster.

    Each worker is a process that holds the job, its compiled code and the data, and takes one block after the other some way.
    After each turn the block comes home, so that a worker that dies takes at most a turn with it: another one goes on from
    there. Lanes are bit for bit what threads make of them, at the same width on the same kind of processor. There are as many
    workers as the cluster has room for when the sweep begins, or as many as ``plan=jopt.Plan(workers=...)`` says.

    Where Ray already runs in this process (``ray.init()``), it is used, and goes on running. Else it is started for the call
    and ended with it, here without a dashboard, heard on the loopback address only, and with Ray's token authentication. On a
    cluster, the workers need the same versions of Python, JAX and jopt, and the modules that the loss comes from.

    Args:
      address: Of a cluster that runs: "auto", or "host:port". None: a Ray of its own on this machine. Ray finds the token of a
        cluster in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token; RAY_AUTH_MODE=disabled goes without.
      num_cpus: Cores of each worker, as Ray counts them; may be a fraction.
      num_gpus: GPUs of each worker; a fraction where several share one. Without, workers compute on CPUs.
      retries: How often in a row a block runs again whose worker died, got stuck, or met an error of the system. Lanes of a
        block that fails more often are named in a warning, the others go on, and ``result.complete`` is False.
      heartbeat: A worker is ended, and its block runs elsewhere, when for so long it has not answered, or has neither got a
        step further nor used its processor: "60s", "5min", or seconds. One step may not take longer.

    Raises:
      TypeError: For an argument of the wrong kind.
      ValueError: For a number that makes no sense.

    Example:
      >>> jopt.RayWorkers(num_cpus=2, heartbeat="5min")
      RayWorkers(address=None, num_cpus=2, num_gpus=0, retries=3, heartbeat='5min')
    """

    address: str | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    retries: int = 3
    heartbeat: str | float = "60s"

    def __post_init__(self) -> None:
        if self.address is not None and not isinstance(self.address, str):
            raise TypeError(f'RayWorkers: address must be None, "auto" or "host:port", but is {require.shown(self.address)}.')
        for name in ("num_cpus", "num_gpus"):
            if not _is_amount(getattr(self, name)):
                raise ValueError(
                    f"RayWorkers: {name} must be a number of at least 0, but is {require.shown(getattr(self, name))}."
                )
        if not self.num_cpus and not self.num_gpus:
            raise ValueError("RayWorkers: a worker needs something of a machine; give num_cpus or num_gpus above 0.")
        whole("RayWorkers: retries", self.retries, at_least=0)
        if not self.heartbeat_s:
            raise ValueError("RayWorkers: heartbeat must be a time above 0, but is 0.")

    @property
    def heartbeat_s(self) -> float:
        """``heartbeat`` in seconds."""
        return seconds("RayWorkers: heartbeat", self.heartbeat)

    @property
    def needs(self) -> dict[str, float]:
        """What each worker takes, by Ray's names."""
        return {name: float(x) for name, x in (("CPU", self.num_cpus), ("GPU", self.num_gpus)) if x}


def _is_amount(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and 0 <= x < math.inf
