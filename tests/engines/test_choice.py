"""The choice of how to compute: it agrees with plain fp32, is kept, and never takes what answers differently."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from skipline import models
from skipline.engines import Engine, Way, choice, choose_engine
from skipline.engines.engine import PLAIN, Forward, build, plain
from skipline.errors import UnknownNameError

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(choice, "A_TURN", 0.0)
    return tmp_path / "home"


@pytest.fixture
def network() -> nn.Module:
    return models.create("resnet20", classes=5, channels=3, seed=0).eval()


def chosen_ways(monkeypatch: pytest.MonkeyPatch, ways: dict[Way, Forward]) -> None:
    """Offer these ways, in this order, instead of the machine's."""
    monkeypatch.setattr(choice, "_ways", lambda precision, threads, long: iter(ways))
    monkeypatch.setattr(choice, "build", lambda way, network, images: ways[way])


def test_a_few_images_are_answered_by_the_network_as_it_is(network: nn.Module, home: Path) -> None:
    engine = choose_engine(network, IMAGES, count=12)
    assert (engine.way, engine.speedup, str(engine)) == (PLAIN, None, "plain PyTorch fp32")
    assert torch.equal(engine(IMAGES), plain(network)(IMAGES))
    assert not (home / "tuning").exists()


def test_many_images_are_worth_a_choice_which_agrees_and_is_kept(network: nn.Module, home: Path) -> None:
    engine = choose_engine(network, IMAGES)
    with torch.no_grad():
        expected = network(IMAGES).softmax(1)
    assert float((engine(IMAGES).softmax(1) - expected).abs().max()) <= 0.01
    assert engine.speedup is not None
    assert engine.speedup >= 1
    (file,) = (home / "tuning").iterdir()
    assert json.loads(file.read_text())["chosen"]["runtime"] == engine.way.runtime
    again = choose_engine(network, IMAGES)
    assert (again.way, again.earlier) == (engine.way, True)
    assert str(again).endswith("x plain PyTorch, measured earlier)")


def test_the_fastest_that_agrees_wins(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = plain(network)(IMAGES)
    wrong = answers.roll(1, dims=1)
    ways: dict[Way, Forward] = {
        Way("PyTorch"): lambda images: plain(network)(images),
        Way("quick"): lambda images: answers,
        Way("quick and wrong"): lambda images: wrong,
        Way("quick and broken"): lambda images: answers * float("nan"),
        Way("quick and short"): lambda images: answers[:1],
    }
    chosen_ways(monkeypatch, ways)
    assert choose_engine(network, IMAGES).way == Way("quick")


def test_what_cannot_be_built_is_left_out(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(way: Way, network: nn.Module, images: torch.Tensor) -> Forward:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(choice, "build", refuse)
    engine = choose_engine(network, IMAGES)
    assert (engine.way, engine.speedup) == (PLAIN, 1.0)


def test_a_kept_choice_that_no_longer_agrees_is_measured_again(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = plain(network)(IMAGES)
    chosen_ways(monkeypatch, {Way("quick"): lambda images: answers})
    assert choose_engine(network, IMAGES).way == Way("quick")
    chosen_ways(monkeypatch, {Way("quick"): lambda images: answers + 100 * torch.eye(4, 5)})
    again = choose_engine(network, IMAGES)
    assert (again.way, again.earlier) == (PLAIN, False)


def test_what_was_chosen_for_a_long_job_is_not_taken_for_a_short_one(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = plain(network)(IMAGES)
    compiled = Way("PyTorch", compiled=True)
    monkeypatch.setattr(choice, "WORTH", 0.0)
    chosen_ways(monkeypatch, {compiled: lambda images: answers})
    monkeypatch.setattr(choice, "LONG", 0.0)
    assert choose_engine(network, IMAGES, count=1000).way == compiled
    assert choose_engine(network, IMAGES, count=1000).earlier
    monkeypatch.setattr(choice, "LONG", 1e9)
    assert not choose_engine(network, IMAGES, count=1000).earlier


def test_fp32_means_fp32(network: nn.Module) -> None:
    assert {way.precision for way in choice._ways("fp32", 2, True)} == {"fp32"}
    assert {way.precision for way in choice._ways("auto", 2, False)} >= {"fp32", "bf16"}
    engine = choose_engine(network, IMAGES, precision="fp32")
    torch.testing.assert_close(engine(IMAGES), plain(network)(IMAGES), rtol=1e-3, atol=1e-4)


def test_an_unknown_precision_is_refused(network: nn.Module) -> None:
    with pytest.raises(UnknownNameError, match=r"no precision is called 'fp64'\. Did you mean fp32"):
        choose_engine(network, IMAGES, precision="fp64")


@pytest.mark.parametrize(
    "name", ["resnet20", "preact-resnet20", "resnext50_32x4d", "lecture-alexnet", "googlenet", "resnet20-1d"]
)
@pytest.mark.parametrize("runtime", ["PyTorch", "OpenVINO"])
def test_every_runtime_gives_the_same_logits(name: str, runtime: str) -> None:
    side = 64 if name == "googlenet" else 32
    sides = (side,) * len(models.spec(name).input[1:])
    images = torch.randn(5, 3, *sides, generator=torch.Generator().manual_seed(3))
    network = models.create(name, classes=7, channels=3, seed=0).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    expected = plain(network)(images)
    for streams in (1, 2) if runtime == "OpenVINO" else (1,):
        forward = build(Way(runtime, streams=streams), network, images)
        for count in (5, 3, 1):  # smaller batches as well
            found = forward(images[:count])
            assert found.dtype == torch.float32
            torch.testing.assert_close(
                found, expected[:count], rtol=1e-3, atol=1e-3 * float(expected.abs().max())
            )
        larger = forward(torch.cat([images, images]))
        torch.testing.assert_close(larger, torch.cat([expected, expected]), rtol=1e-3, atol=1e-3)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_the_names_of_engines() -> None:
    assert str(Way("OpenVINO", "bf16", streams=2)) == "OpenVINO bf16, 2 streams"
    assert str(Engine(Way("PyTorch", "bf16", compiled=True), lambda images: images, 1.96)) == (
        "PyTorch bf16, compiled (2.0 x plain PyTorch, measured)"
    )


SIGNALLED = """
import os, signal, threading
import torch
from skipline import models
from skipline.engines import Way
from skipline.engines.engine import build
kept = [build(Way("OpenVINO"), models.create("resnet20", channels=3, seed=0).eval(), torch.zeros(2, 3, 16, 16))]
thread = threading.Thread(target=kept.clear)
thread.start()
thread.join()
signal.signal(signal.SIGUSR1, lambda number, frame: print("told"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signals here")
def test_a_signal_after_an_engine_has_ended_in_another_thread_is_survived() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-c", SIGNALLED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr
