"""launch/train.py beside a thread that follows its memory: `python -m tests.reliability.allocated FILE --config=...`.

FILE holds the bytes that the C library has handed out at the last look. The resident memory tells no leak: the heap is never trimmed,
and the kernel makes pages of 2 MB where it likes (data_pipeline/heap.py). With PYTHONMALLOC=malloc Python's objects are counted too.
"""

import ctypes
import os
import sys
import threading
import time
from pathlib import Path

from launch import program, train

BETWEEN_LOOKS = 0.05  # seconds


class Mallinfo(ctypes.Structure):
    """What mallinfo2(3) returns."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    ))  # fmt: skip


def follow(file: Path) -> None:
    """Writes the bytes in use to a file, again and again."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo
    output = os.open(file, os.O_WRONLY | os.O_CREAT)
    while True:
        now = mallinfo()
        os.pwrite(output, b"%20d" % (now.uordblks + now.hblkhd), 0)
        time.sleep(BETWEEN_LOOKS)


if __name__ == "__main__":
    threading.Thread(target=follow, args=(Path(sys.argv.pop(1)),), daemon=True).start()
    program.run(train.main)
