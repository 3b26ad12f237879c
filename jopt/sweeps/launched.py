"""Which of how many processes this one is, as launchers and schedulers tell it by environment variables."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from jopt.values.numbers import whole


class Place(NamedTuple):
    """One of several processes, and what said so."""

    number: int
    of: int
    told: str


# Who starts processes beside each other: the variable with the process's number, from 0, and that with how many there are.
MPI = {
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MPICH, Intel MPI or another with PMI": ("PMI_RANK", "PMI_SIZE"),
    "MVAPICH": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
}
FLUX = {"Flux": ("FLUX_TASK_RANK", "FLUX_JOB_SIZE")}
SLURM = {"srun": ("SLURM_PROCID", "SLURM_NTASKS")}
# Who starts tasks of an array, numbered from 0.
COUNTED = {
    "AWS Batch": ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    "Cloud Run jobs": ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
}
# The same with numbers of the user's choice: the number, the first one, the last one, and the distance between two.
RANGES = {
    "a Slurm array": ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP"),
    "a Grid Engine array": ("SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE"),
}
# Those that tell the number alone, or the last number, but not the first.
UNCOUNTED = {
    "a PBS array": "PBS_ARRAY_INDEX",
    "a Torque array": "PBS_ARRAYID",
    "an LSF array": "LSB_JOBINDEX",
    "an indexed Kubernetes job": "JOB_COMPLETION_INDEX",
}
NONE = ("", "undefined")  # what a Grid Engine job that is no array has as its number


def place_of(environment: Mapping[str, str], count: int | None, first: int | None) -> Place:
    """Which process this is: the tasks of an array, times the processes that each of them has started.

    Args:
      environment: Names and values.
      count: How many there are, where the user says so.
      first: The number of the first task of an array, where the user says so.

    Raises:
      ValueError: Where nothing is told, or things that do not go together.
    """
    task, process = _task(environment, count, first), _process(environment)
    if task is None and process is None:
        raise ValueError(_nothing(environment))
    if task is None or process is None or process.of == 1:
        found = task or process
        assert found is not None
    else:
        told = f"{task.told}, and {process.told} in it"
        found = Place(task.number * process.of + process.number, task.of * process.of, told)
    if count is not None and count != found.of:
        raise ValueError(f"Slice.from_environment: count={count}, but {found.told}: that makes {found.of} processes.")
    return found


def _process(environment: Mapping[str, str]) -> Place | None:
    """Of those that an MPI or a launcher has started beside each other."""
    mpi = [found for name in MPI if (found := _counted(environment, name, MPI[name]))]
    for one, other in itertools.pairwise(mpi):
        if one[:2] != other[:2]:
            raise ValueError(f"Slice.from_environment: {one.told}, but {other.told}; {_INSTEAD}")
    slurm = _counted(environment, "srun", SLURM["srun"])
    step = any(environment.get(name) for name in ("SLURM_STEP_ID", "SLURM_STEPID"))
    script = slurm is not None and not step and bool(environment.get("SLURM_JOB_ID"))
    if mpi:  # inside of Slurm it has its own numbers, and those of Slurm are of whoever started MPI
        if slurm and not script and slurm.of == mpi[0].of and slurm.number not in (0, mpi[0].number):
            raise ValueError(f"Slice.from_environment: {mpi[0].told}, but {slurm.told}; {_INSTEAD}")
        return mpi[0]
    if script and slurm and slurm.of > 1:
        raise ValueError(
            f"Slice.from_environment: {slurm.told}, but without SLURM_STEP_ID this is the batch script itself, which runs "
            f"once; start Python by srun, which starts {slurm.of} processes."
        )
    return slurm or _counted(environment, "Flux", FLUX["Flux"])


def _task(environment: Mapping[str, str], count: int | None, first: int | None) -> Place | None:
    """Of an array."""
    for name, variables in RANGES.items():
        if (found := _in_range(environment, name, variables)) is not None:
            return found
    for name, (index, size) in COUNTED.items():
        if (found := _counted(environment, name, (index, size))) is not None:
            return found
    for name, variable in UNCOUNTED.items():
        index = environment.get(variable, "")
        if index not in NONE and not (variable == "LSB_JOBINDEX" and index == "0"):  # LSF has that in jobs that are no arrays
            return _uncounted(name, variable, _whole(environment, variable), count, first)
    return None


def _counted(environment: Mapping[str, str], who: str, variables: tuple[str, str]) -> Place | None:
    """By the number from 0 and the count."""
    index, size = variables
    missing = [name for name in variables if environment.get(name, "") in NONE]
    if len(missing) == 2 or (missing == [index] and who == "srun"):  # Slurm has the count wherever it has a job
        return None
    if missing:
        there = next(name for name in variables if name not in missing)
        raise ValueError(
            f"Slice.from_environment: {there}={environment[there]} is of {who}, but {missing[0]} is not there; {_INSTEAD}"
        )
    return _checked(_whole(environment, index), _whole(environment, size), _told(environment, variables))


def _in_range(environment: Mapping[str, str], who: str, variables: tuple[str, str, str, str]) -> Place | None:
    """By the number, the first one, the last one and the distance."""
    number, first, last, distance = variables
    if environment.get(number, "") in NONE:
        return None
    if missing := [name for name in (first, last) if environment.get(name, "") in NONE]:
        raise ValueError(
            f"Slice.from_environment: {number}={environment[number]} is of {who}, but {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not there; {_INSTEAD}"
        )
    begin, step = _whole(environment, first), _whole(environment, distance) if environment.get(distance) else 1
    offset, span = _whole(environment, number) - begin, _whole(environment, last) - begin
    told = _told(environment, [name for name in variables if name in environment])
    listed = environment.get("SLURM_ARRAY_TASK_COUNT") if number.startswith("SLURM") else None
    if step < 1 or offset % step or (listed and _whole(environment, "SLURM_ARRAY_TASK_COUNT") != span // step + 1):
        more = f" and SLURM_ARRAY_TASK_COUNT={listed}" if listed else ""
        raise ValueError(
            f"Slice.from_environment: {told}{more} is an array whose numbers are not a range, so nobody can tell which of them "
            f"this is; give a range (--array=0-7), or jopt.Slice(index, count)."
        )
    return _checked(offset // step, span // step + 1, told)


def _uncounted(who: str, variable: str, number: int, count: int | None, first: int | None) -> Place:
    told = f"{variable}={number}"
    if count is None or first is None:
        raise ValueError(
            f"Slice.from_environment: {told} is of {who}, where nothing says how many tasks there are and with which number "
            f"they begin; say it: jopt.Slice.from_environment(count=8, first=1)."
        )
    return _checked(number - first, count, f"{told}, counted from {first},")


def _checked(index: int, count: int, told: str) -> Place:
    if not 0 <= index < count:
        raise ValueError(f"Slice.from_environment: {told} would be number {index} of {count}, counted from 0; {_INSTEAD}")
    return Place(index, count, told)


def _whole(environment: Mapping[str, str], name: str) -> int:
    try:
        return whole(name, int(environment[name]), at_least=0)
    except ValueError as error:
        raise ValueError(f"Slice.from_environment: {name}={environment[name]!r} is no number; {_INSTEAD}") from error


def _told(environment: Mapping[str, str], names: tuple[str, ...] | list[str]) -> str:
    return " and ".join(f"{name}={environment[name]}" for name in names)


def _nothing(environment: Mapping[str, str]) -> str:
    pairs = [each for table in (MPI, FLUX, SLURM, COUNTED) for each in table.values()]
    looked = [*(" with ".join(pair) for pair in pairs), *(f"{each[0]} with {each[1]}" for each in RANGES.values())]
    alone = ", ".join(UNCOUNTED.values())
    return (
        f"Slice.from_environment: no environment variable says which of how many processes this is. Looked for were "
        f"{', '.join(looked)}, and, where count= and first= are given, {alone}. {_INSTEAD[0].upper()}{_INSTEAD[1:]}"
    )


_INSTEAD = "start it by srun, mpirun or as a job array, or give jopt.Slice(index, count)."
