"""The engine: trains the lanes of a sweep in blocks, chunk by chunk, on all cores or accelerators."""

from jopt.engine.plan import Plan
from jopt.engine.program import Program

__all__ = ["Plan", "Program"]
