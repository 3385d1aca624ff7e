"""Memory that a process gives back and takes again at every training step, kept instead."""

from __future__ import annotations

import ctypes
import os
import sys

MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2  # of glibc's malloc.h
PAD = 64 << 20  # bytes that the heap grows by at a time
HUGE = 14  # MADV_HUGEPAGE of Linux
PAGE = 2 << 20  # bytes of a huge page
AHEAD = 4 << 30  # bytes of heap that may consist of huge pages

_kept = False


def keep_pages() -> bool:
    """Let the C library keep freed memory for the next step, in huge pages where the system allows them.

    As it stands glibc asks the system for every large tensor and gives it back when the tensor ends, so that a
    training step touches its memory for the first time again and again: each page costs a fault and is filled with
    zeros. `benchmarks/pages.py` measures what that takes. The process keeps the most memory it ever had, which is what
    a training step needs again at once; nothing is reserved before it is used.

    Returns:
        Whether memory is kept: on Linux with glibc, unless `MALLOC_` settings or `GLIBC_TUNABLES` in the environment
        say that the user has chosen differently, or another allocator is loaded.
    """
    global _kept
    if not _kept:
        _kept = sys.platform == "linux" and _chosen_by_nobody() and _keep()
    return _kept


def _chosen_by_nobody() -> bool:
    own = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    return not own and "malloc" not in os.environ.get("LD_PRELOAD", "")


def _keep() -> bool:
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - musl has a mallopt as well, which does nothing
        mallopt = library.mallopt
    except (OSError, AttributeError):
        return False
    if not (mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, -1)):
        return False
    mallopt(TOP_PAD, PAD)
    _allow_huge_pages(library)
    return True


def _allow_huge_pages(library: ctypes.CDLL) -> None:
    """Mark addresses that the heap will grow into: taken, marked and given back without being touched."""
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = library.malloc(AHEAD)
    if start is None:  # less memory than that may be promised: without huge pages, then
        return
    aligned = -(-start // PAGE) * PAGE
    library.madvise(aligned, AHEAD - PAGE, HUGE)
    library.free(start)
