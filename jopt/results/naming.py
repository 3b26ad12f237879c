"""What swept numbers are: their names are the ends of their paths, and "init_value" does not say that it is one of a rate."""

from __future__ import annotations

from jopt.rates import names_a_rate
from jopt.results.trial import Swept
from jopt.standing import places


def in_full(result: Swept, name: str) -> str:
    """The name of a number for a sentence: "learning_rate.init_value" for the "init_value" of the rate's schedule.

    A name that has a rate in it, that a user gave, or that is of no rate stays as it is.
    """
    end = name.split(".")
    for path in paths_of(result, name):
        rates = [i for i, step in enumerate(path) if names_a_rate(step)]
        if path[-len(end) :] == end and rates and not any(map(names_a_rate, end)):
            return ".".join(path[rates[-1] :])
    return name


def is_rate(result: Swept, name: str) -> bool:
    """Whether a number is a learning rate, or one that a schedule of it takes for a value."""
    for path in paths_of(result, name) or [name.split(".")]:
        rates = [i for i, step in enumerate(path) if names_a_rate(step)]
        if rates and all(step.endswith("value") for step in path[rates[-1] + 1 :]):
            return True
    return False


def paths_of(result: Swept, name: str) -> list[list[str]]:
    """The paths of the axes of a name; none where the optimizer can not be read, or has no such axis."""
    try:
        found = list(places(result.optimizer))
    except ValueError:  # of a file that could not hold it
        return []
    paths = [(place.axis.name, ".".join(place.path).split(".")) for place in found]
    end = name.split(".")
    return [path for own, path in paths if own == name or (own is None and path[-len(end) :] == end)]
