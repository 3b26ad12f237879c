"""JAX's persistent cache of compiled programs, with thresholds that fit sweeps."""

from __future__ import annotations

import os
import pathlib

import jax

from jopt.engine.files import cache_directory
from jopt.values import require


def enable_compilation_cache(path: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """Keeps compiled programs on disk, so that the next process that runs the same sweep compiles nothing.

    A first sweep is mostly compiling. JAX keeps only what takes a second or more to compile unless it is told otherwise,
    and the programs of a sweep are many small ones: this takes all of them. Call it before the first sweep of a process.
    What is on disk is found by the program, the versions of JAX and XLA, the options and the machine, so it never gives a
    wrong result; on some machines JAX can't use it, and then compiles as before.

    Args:
      path: A directory; by default ``$JOPT_CACHE_DIR/xla``, or ``jopt/xla`` in the user's cache directory.

    Returns:
      The directory.

    Raises:
      OSError: Where it can't be made.

    Example:
      >>> folder = jopt.enable_compilation_cache("compiled")
      >>> folder.name
      'compiled'
    """
    given = (
        cache_directory("xla")
        if path is None
        else pathlib.Path(require.path("enable_compilation_cache: path", path)).expanduser()
    )
    given.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(given))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return given
