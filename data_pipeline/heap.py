"""The C library's heap, told to keep large buffers that are freed.

A series of 5 to 10 MB that is read into a fresh buffer costs more for the pages of that buffer than for the reading: glibc gives
large blocks back to the system at once and asks for zeroed pages again for the next one. Measured in docs/benchmarks.md.
"""

import ctypes
import sys

# parameters of mallopt(3) and the values that they get, bytes; 32 MB is the largest threshold that glibc takes
SETTINGS = {"mmap_threshold": (-3, 32 * 2**20), "trim_threshold": (-1, 512 * 2**20), "top_pad": (-2, 64 * 2**20)}


def keep_freed_buffers() -> bool:
    """Sets the heap of this process so that freed buffers of up to 32 MB are used again; False where the C library is not glibc.

    Source: glibc manual, "Malloc Tunable Parameters".
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return all(library.mallopt(parameter, value) == 1 for parameter, value in SETTINGS.values())
