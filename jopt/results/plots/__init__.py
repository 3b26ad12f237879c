"""Pictures of results. Axes in, axes out; nothing is shown, so the caller decides."""

from jopt.results.plots.grouped import GroupPlots
from jopt.results.plots.single import Plots

__all__ = ["GroupPlots", "Plots"]
