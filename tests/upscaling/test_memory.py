"""A large photo from file to file: what the process takes, seen from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("resource", reason="only here does the system say how much memory a process took")

SCRIPT = """
import json, resource, sys
from pathlib import Path
import torch
from skipline.models.upscaling.shuffle import BicubicShuffle
from skipline.upscaling import enlarge_picture, read_picture, write_picture

torch.set_num_threads(1)
taken = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
network = BicubicShuffle(scale=2, channels=3, global_residual=True, depth=2, width=32)
network(torch.rand(1, 3, 32, 32))
before = taken()
large = enlarge_picture(network, read_picture(Path(sys.argv[1])), memory=2**25, precision=torch.float32)
write_picture(large, Path(sys.argv[2]))
print(json.dumps({"bytes": taken() - before}))
"""


def test_memory_beside_the_images_is_bounded(tmp_path: Path) -> None:
    cells = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    small = Image.fromarray(cells).resize((3000, 2000), Image.Resampling.BICUBIC)
    small.save(tmp_path / "small.jpg")
    large = tmp_path / "large.jpg"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "small.jpg"), str(large)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    with Image.open(large) as image:
        assert image.size == (6000, 4000)
    pixels = 3 * 3000 * 2000 * (1 + 4)  # both images, 90 MB
    # The layers alone would take 32 x 4 bytes for each of the six million pixels, and as much again: 1.5 GB.
    assert json.loads(found.stdout)["bytes"] < 2 * pixels + 200 * 2**20
