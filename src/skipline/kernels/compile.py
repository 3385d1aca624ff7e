"""The C kernels as a shared library: compiled once per machine, kept in the cache folder, loaded with ctypes.

The library uses the OpenMP runtime that torch brings along: it is linked against that very file, and the loader
matches it by its name with the copy already in memory. A second runtime would keep a second pool of threads that
fights with torch's for the same cores.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch

from skipline.storage import skipline_home

COMPILERS = ("cc", "gcc", "clang")
TIMEOUT = 60  # seconds
# -O3: with -O2 the loops over four vectors stay loops, and all is 1.3 to 2 x slower.
# Not -ffast-math: it would reorder sums as the compiler likes and, when loaded, flush denormals in the whole process.
# Multiply-adds may be fused: that is fixed when the file is compiled, so the bits of a result do not change later.
FLAGS = ("-O3", "-march=native", "-fopenmp", "-ffp-contract=fast", "-fPIC")

Address = ctypes.c_void_p
SIGNATURES = {
    "skipline_scratch": [ctypes.c_long] * 3,
    "skipline_forward": [Address] * 10 + [ctypes.c_long] * 2 + [ctypes.c_double] * 2 + [ctypes.c_int] * 3,
    "skipline_backward": [Address] * 11 + [ctypes.c_long] * 2 + [ctypes.c_int] * 3,
}


@cache
def batchnorm_library() -> ctypes.CDLL | None:
    """The library of batchnorm.c, compiled by the first process that asks.

    Returns:
        None where there is no compiler or no GNU OpenMP runtime in torch, where compiling or loading fails, or
        where SKIPLINE_KERNELS=0. Asked once a process: the answer does not change within a run.
    """
    if os.environ.get("SKIPLINE_KERNELS") == "0":
        return None
    try:
        library = ctypes.CDLL(str(compiled(Path(__file__).with_name("batchnorm.c"))))
        for name, arguments in SIGNATURES.items():
            getattr(library, name).argtypes = arguments
            getattr(library, name).restype = ctypes.c_long if name == "skipline_scratch" else None
    except (OSError, subprocess.SubprocessError, AttributeError):
        return None
    return library


def compiled(source: Path) -> Path:
    """The library of a C file, from the cache where it is there.

    Safe with several processes: each compiles in a folder of its own, and a rename puts the result in place.

    Raises:
        OSError: no compiler, no OpenMP runtime, or a cache folder that cannot be written.
        subprocess.SubprocessError: the compiler failed.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    runtime = openmp_runtime()
    version = _run([compiler, "--version"])
    parts = (source.read_text(), version, compiler, *FLAGS, _processor(), torch.__version__, str(runtime))
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    target = (skipline_home() / "kernels") / f"{source.stem}-{key}.so"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".compile-") as place:
        halfway, library = Path(place, "kernel.o"), Path(place, "kernel.so")
        _run([compiler, *FLAGS, "-c", str(source), "-o", str(halfway)])
        # Linked without -fopenmp, which would add the compiler's own runtime.
        _run([compiler, "-shared", str(halfway), str(runtime), "-lm", "-o", str(library)])
        library.replace(target)
    return target


def openmp_runtime() -> Path:
    """The GNU OpenMP runtime in torch's wheel.

    Raises:
        FileNotFoundError: torch brings none, as on macOS.
    """
    home = Path(torch.__file__).parent
    folders = (home / "lib", home.parent / "torch.libs")
    found = [file for folder in folders for file in sorted(folder.glob("libgomp*.so*"))]
    if not sys.platform.startswith("linux") or len(found) != 1:
        raise FileNotFoundError("torch brings no single GNU OpenMP runtime")
    return found[0]


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout


def _processor() -> str:
    """What -march=native depends on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return "\n".join(
        sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    )
