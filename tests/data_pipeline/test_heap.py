"""Freed buffers are used again."""

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import resource, sys
from data_pipeline import heap
if sys.argv[1] == "kept":
    assert heap.keep_freed_buffers()
def fill():
    for _ in range(5):
        [bytearray(b"1") * 8_000_000 for _ in range(4)]
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the heap of glibc")
def test_large_buffers_cost_no_new_pages() -> None:
    if "[always]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text():
        pytest.skip("pages of 2 MB hide what small ones cost")
    command = lambda how: [sys.executable, "-c", FAULTS, how]
    faults = {
        how: int(subprocess.run(command(how), capture_output=True, text=True, check=True).stdout) for how in ("kept", "not")
    }
    pages = 20 * 8_000_000 // 4096
    assert faults["kept"] < 0.01 * pages < 0.5 * pages < faults["not"], faults
