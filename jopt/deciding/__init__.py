"""Which settings of a sweep go on: the protocol of pruners, and rules."""

from jopt.deciding.protocol import Pruner, Rung
from jopt.deciding.rules import Hyperband, SuccessiveHalving, TopFraction
from jopt.deciding.stopping import EarlyStop, MedianStop

__all__ = ["EarlyStop", "Hyperband", "MedianStop", "Pruner", "Rung", "SuccessiveHalving", "TopFraction"]
