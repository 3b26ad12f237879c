"""Calls that come again and again take no more and more memory; ``python -m tests.resident`` has more of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = "from tests import resident; print(resident.grown(60))"


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="it reads how much memory it has taken")
def test_fifty_more_calls_take_no_more_memory():
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", CODE], cwd=root, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 20  # MB, as after 1,000 calls; one array of the loss for each would not show, a program would
