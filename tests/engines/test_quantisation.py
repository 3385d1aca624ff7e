"""int8: nearly the same answers on what it was calibrated on, and refused where accuracy falls."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skipline import models
from skipline.bundle import Bundle
from skipline.data import ImageSet, Preprocessing
from skipline.engines import Engine, Way, quantised
from skipline.errors import AccuracyDropError, InputError, MissingExtraError


def test_the_answers_stay_close_and_the_network_as_it_was() -> None:
    network = models.create("resnet20", classes=5, channels=3, seed=0).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    engine = quantised(network, [images])
    with torch.no_grad():
        expected = network(images)
    found = engine(images[:6])
    assert engine.way == Way("OpenVINO", "int8")
    error = float((found - expected[:6]).abs().max()) / float(expected.abs().max())
    assert 0 < error < 0.2  # 0 would mean that nothing was quantised
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_no_images_no_int8() -> None:
    with pytest.raises(InputError, match="expected images to calibrate int8 on, arrived none"):
        quantised(models.create("resnet20", seed=0).eval(), [])


class Brightness(nn.Module):
    """Class 1 for images whose mean is above 0, else class 0: exact in any format."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.conv.weight.data = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1)
        self.conv.bias.data.zero_()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images).mean((2, 3))


def brightness(split: str) -> ImageSet:
    labels = np.arange(40) % 2
    images = np.where(labels[:, None, None, None] == 1, 200, 20).astype(np.uint8) * np.ones(
        (1, 8, 8, 1), np.uint8
    )
    return ImageSet(images, labels, ("dark", "light"), split, fingerprint="none")


def bundle() -> Bundle:
    preprocessing = Preprocessing(stored=8, side=8, channels=1, mean=(0.5,), std=(0.5,))
    return Bundle("brightness", Brightness().eval(), ("dark", "light"), preprocessing)


def test_accuracy_is_measured_on_the_test_images() -> None:
    result = bundle().quantised(brightness("train"), brightness("test"), calibration_images=10)
    assert (result.n, result.accuracy_before, result.accuracy_after, result.agreement) == (40, 1.0, 1.0, 1.0)
    assert result.calibration == 10
    answers = bundle().predict(brightness("test").images[:4], engine=result.engine)
    assert [answer.class_name for answer in answers] == ["dark", "light", "dark", "light"]


def test_a_drop_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from skipline.bundle import int8

    turned = Engine(Way("OpenVINO", "int8"), lambda images: -Brightness()(images).detach())
    monkeypatch.setattr(int8, "quantised", lambda network, batches: turned)
    message = (
        "int8 falls from 100.00% to 0.00% of 40 test images, more than the 1.00% allowed: calibrate on more"
    )
    with pytest.raises(AccuracyDropError, match=re.escape(message)):
        bundle().quantised(brightness("train"), brightness("test"))


def test_a_bound_that_is_no_share_is_refused() -> None:
    with pytest.raises(InputError, match="expected max_drop between 0 and 1"):
        bundle().quantised(brightness("train"), brightness("test"), max_drop=2)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nncf", None)
    with pytest.raises(MissingExtraError, match=r"int8 needs nncf, .* pip install 'skipline\[int8\]'"):
        quantised(models.create("resnet20", seed=0).eval(), [torch.zeros(1, 3, 16, 16)])


SILENT = """
import socket, sys
asked = []
def look(*arguments, **options):
    asked.append(arguments)
    raise OSError("no network here")
socket.getaddrinfo = socket.create_connection = look
socket.socket.connect = look
import torch
from skipline import models
from skipline.engines import quantised
quantised(models.create("resnet20", channels=3, seed=0).eval(), [torch.zeros(4, 3, 16, 16)])
import time
time.sleep(1)  # a report would be sent from a thread of its own
print(asked)
"""


def test_neither_library_reports_its_use_to_its_makers(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-c", SILENT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
    assert not list(tmp_path.glob("intel*"))
