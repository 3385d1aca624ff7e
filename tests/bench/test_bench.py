"""The benchmarks: that both sides do the same work, and what is printed. No speed is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from skipline import bench, models
from skipline.bench.comparison import in_turn
from skipline.bench.training import PlainBatchNorm2d, _plain
from skipline.cli.app import app
from skipline.errors import InputError, UnknownNameError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path / "home"))


def test_both_sides_take_turns_and_the_ratio_is_that_of_the_turns() -> None:
    calls: list[str] = []

    def side(name: str, rates: list[float]) -> float:
        calls.append(name)
        return rates[(len(calls) - 1) // 2]

    row = in_turn(
        "work",
        lambda: side("a", [0, 10, 40, 9]),  # the first is a warm-up
        lambda: side("b", [0, 5, 10, 9]),
        "peer",
        turns=3,
    )
    assert calls == ["a", "b"] * 4
    assert (row.ours, row.peer, row.ratio) == (10, 9, 2)
    assert row.ratio_range == (1, 4)
    assert row.runs == ((10, 5), (40, 10), (9, 9))


def test_the_plain_side_computes_the_same_without_the_kernel() -> None:
    network = models.create("resnet20", classes=10, channels=3, seed=0).train()
    plain = _plain(network)
    assert {type(m) for m in plain.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {PlainBatchNorm2d}
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ours, theirs = network(images.contiguous(memory_format=torch.channels_last)), plain(images)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_train_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    app(
        ["bench", "train", "--model", "resnet20", "--turns", "1", "--threads", "1", "--json"],
        standalone_mode=False,
    )
    values = json.loads(capsys.readouterr().out)
    assert set(values) == {"kind", "machine", "limit", "rows"}
    assert values["limit"]["fp32"] > 0
    (row,) = values["rows"]
    assert row["what"] == "training step, resnet20, batch 128, 32 x 32"
    assert row["ratio"] == pytest.approx(row["ours"] / row["peer"])
    share = 6 * 40_551_040 * row["ours"] / 1e9
    format_used = "bf16" if row["notes"]["execution"].startswith("bf16") else "fp32"
    assert row["notes"]["share_of_limit"] == pytest.approx(share / values["limit"][format_used])


def test_predict_folds_and_agrees() -> None:
    result = bench.bench_predict([("resnet20", 32)], turns=1, threads=1)
    assert [row.what for row in result.rows] == [
        "prediction, resnet20, batch 64, 32 x 32",
        "prediction, resnet20, batch 1, 32 x 32",
    ]
    assert all(row.notes["largest_difference"] < 1e-3 for row in result.rows)


def test_input_has_a_row_for_the_cache_and_two_for_photos() -> None:
    result = bench.bench_input(turns=1, photos=6, threads=1)
    assert [row.what.rpartition(", ")[2] for row in result.rows] == [
        "one core",
        "first epoch",
        "second epoch",
    ]
    assert all(row.ours > 0 and row.peer > 0 for row in result.rows)


def test_mistakes() -> None:
    with pytest.raises(UnknownNameError, match=r"no benchmark is called .trian.\. Did you mean train"):
        app(["bench", "trian"], standalone_mode=False)
    with pytest.raises(InputError, match="--turns must be at least 1"):
        app(["bench", "train", "--turns", "0"], standalone_mode=False)
    with pytest.raises(InputError, match="--model is for `skipline bench train`"):
        app(["bench", "input", "--model", "resnet20"], standalone_mode=False)
