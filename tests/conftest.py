"""Settings and fixtures that every test shares."""

import gc
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterator

os.environ["MPLBACKEND"] = "Agg"
os.environ["JOPT_CACHE_DIR"] = tempfile.mkdtemp(prefix="jopt-tests-")  # neither read nor leave plans in the user's cache

import hypothesis
import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jopt.engine.running.runtime import EXECUTABLES

# A shell's background job begins with Ctrl-C ignored, and so would the processes that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile(
    "jopt",
    derandomize=True,
    deadline=None,  # the first example compiles
    max_examples=25,
    # The fixtures below hold for a whole test, so sharing them between examples is what is meant.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("jopt")


def _configured(name: str, value: object) -> Iterator[None]:
    """Sets one JAX option for all threads (JAX's context managers reach only their own)."""
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    yield
    jax.config.update(name, before)


@pytest.fixture
def x64() -> Iterator[None]:
    """The test runs with 64-bit types."""
    yield from _configured("jax_enable_x64", True)


@pytest.fixture
def strict_promotion() -> Iterator[None]:
    """The test runs where mixing dtypes is an error."""
    yield from _configured("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def own_compilation_cache() -> Iterator[None]:
    """Whether and where compiled programs are kept on disk is afterwards as before."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: jax.config.values[name] for name in names}
    yield
    if jax.config.values["jax_compilation_cache_dir"] != before["jax_compilation_cache_dir"]:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    """Figures do not outlive the test that drew them (matplotlib warns at twenty)."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True, scope="module")
def _few_mappings() -> Iterator[None]:
    """What was compiled is let go where it is much: each piece is mapped into memory, and Linux allows 65,530 mappings."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        EXECUTABLES.compiled.clear()
        jax.clear_caches()
        gc.collect()
