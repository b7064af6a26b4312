"""Freed buffers are used again."""

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import resource, sys
from data_pipeline import heap
size = int(sys.argv[2])
if sys.argv[1] != "not":
    assert getattr(heap, sys.argv[1])()
def fill():
    for _ in range(5):
        [bytearray(b"1") * size for _ in range(4)]
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the heap of glibc")
@pytest.mark.parametrize(("how", "size"), [("keep_freed_buffers", 8_000_000), ("one_heap_of_huge_pages", 50_000_000)])
def test_large_buffers_cost_no_new_pages(how, size) -> None:
    if "[always]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text():
        pytest.skip("pages of 2 MB hide what small ones cost")
    command = lambda how: [sys.executable, "-c", FAULTS, how, str(size)]
    faults = {how: int(subprocess.run(command(how), capture_output=True, text=True, check=True).stdout) for how in (how, "not")}
    pages = 20 * size // 4096
    assert faults[how] < 0.01 * pages < 0.5 * pages < faults["not"], faults
