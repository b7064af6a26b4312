"""The C library's heap, told to keep large buffers that are freed.

Fresh pages are dear: glibc gives large blocks back to the system at once and asks for zeroed pages again for the next one. Reading
a series of 5 to 10 MB into a fresh buffer costs more for the pages of that buffer than for the reading, and a training step on a
CPU spends a ninth of its processor time in the kernel, most of it for the pages of its temporaries. Measured in docs/benchmarks.md.
"""

import ctypes
import os
import sys

# parameters of mallopt(3) and the values that they get, bytes; 32 MB is the largest threshold that glibc takes
KEEPING = {"mmap_threshold": (-3, 32 * 2**20), "trim_threshold": (-1, 512 * 2**20), "top_pad": (-2, 64 * 2**20)}
ONE_HEAP = {"mmap_max": (-4, 0), "trim_threshold": (-1, -1), "arena_max": (-8, 1)}  # -1: never trimmed
HUGE_PAGE = 2**21
ADVISE_HUGE_PAGES = 14  # madvise(2)


def keep_freed_buffers() -> bool:
    """Sets the heap of this process so that freed buffers of up to 32 MB are used again; False where the C library is not glibc.

    Source: glibc manual, "Malloc Tunable Parameters".
    """
    library = _glibc()
    return library is not None and _set(library, KEEPING)


def one_heap_of_huge_pages() -> bool:
    """Gives all threads of this process one heap, which grows only, in pages of 2 MB.

    For a program that makes the same large temporaries in every step: it keeps as much memory as it ever needed at once. To be
    called before other threads start. False where the C library is not glibc, or the system gives no pages of 2 MB.

    Source: glibc manual, "Malloc Tunable Parameters"; madvise(2).
    """
    library = _glibc()
    if library is None or not _set(library, ONE_HEAP):
        return False
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # addresses for half of the memory, which stay the heap's when they are freed; no page exists before something is written
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    block = library.malloc(size)
    if not block:  # a limit on addresses: the heap grows in small pages
        return False
    first = -(-block // HUGE_PAGE) * HUGE_PAGE
    advised = library.madvise(first, (block + size - first) // HUGE_PAGE * HUGE_PAGE, ADVISE_HUGE_PAGES) == 0
    library.free(block)
    return advised


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None


def _set(library: ctypes.CDLL, settings: dict[str, tuple[int, int]]) -> bool:
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings.values())
