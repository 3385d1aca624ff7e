"""The benchmarks: that both sides do the same work, and what is printed. No speed is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from skipline import bench, models
from skipline.bench import limit
from skipline.bench.comparison import Bench, Row, in_turn, repeated
from skipline.bench.curves import Curve, Load, points
from skipline.bench.peer_rows import NONE_FOUND
from skipline.bench.plain_loop import PlainBatchNorm2d, plain
from skipline.bench.scaling import Scaling
from skipline.cli.app import app
from skipline.cli.bench_tables import print_comparison, print_scaling
from skipline.errors import InputError, UnknownNameError
from skipline.training import autotune


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(limit, "SECONDS", 0.0)  # bf16 takes seconds where the processor does not know it


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


def test_work_is_done_at_least_once_and_again_until_the_time_has_passed() -> None:
    done: list[int] = []
    assert repeated(lambda: done.append(1), 10, seconds=0) > 0
    assert done == [1]
    repeated(lambda: done.append(1), 10, seconds=0.01)
    assert len(done) > 2


def test_the_plain_side_computes_the_same_without_the_kernel() -> None:
    network = models.create("resnet20", classes=10, channels=3, seed=0).train()
    other = plain(models.create("resnet20", classes=10, channels=3, seed=0).train())
    assert {type(m) for m in other.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {PlainBatchNorm2d}
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ours, theirs = network(images.contiguous(memory_format=torch.channels_last)), other(images)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_train_in_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no .venv-peers
    monkeypatch.setattr(autotune, "SECONDS", 0.1)  # too short to choose: a way to compute, or to compile
    options = ["--model", "resnet20", "--turns", "1", "--threads", "1", "--json", "--out", "train.json"]
    app(["bench", "train", *options], standalone_mode=False)
    printed = capsys.readouterr()
    values = json.loads(printed.out)
    assert " ".join(printed.err.split()) == NONE_FOUND
    assert set(values) == {
        *("kind", "machine", "limit", "rows", "notes"),
        *("command", "measured", "seconds", "load_before"),
    }
    assert values["command"] == "skipline bench train --model resnet20 --turns 1 --threads 1"
    assert values["notes"] == [NONE_FOUND]
    assert json.loads((tmp_path / "train.json").read_text()) == values
    assert values["limit"]["fp32"] > 0
    (row,) = values["rows"]
    assert row["what"] == "training step, resnet20, batch 128, 32 x 32"
    assert row["ratio"] == pytest.approx(row["ours"] / row["peer"])
    share = 6 * 40_551_040 * row["ours"] / 1e9
    format_used = "bf16" if row["notes"]["execution"].startswith("bf16") else "fp32"
    assert row["notes"]["share_of_limit"] == pytest.approx(share / values["limit"][format_used])


def test_predict_chooses_an_engine_that_agrees() -> None:
    result = bench.bench_predict([("resnet20", 32)], turns=1, threads=1)
    assert [row.what for row in result.rows] == [
        "prediction, resnet20, batch 64, 32 x 32",
        "prediction, resnet20, batch 1, 32 x 32",
    ]
    assert all(row.notes["largest_difference"] < 0.1 for row in result.rows)  # bf16 may be chosen
    assert all("PyTorch" in row.notes["engine"] or "OpenVINO" in row.notes["engine"] for row in result.rows)


def test_input_has_a_row_for_the_cache_and_two_for_photos() -> None:
    result = bench.bench_input(turns=1, photos=6, threads=1)
    assert [row.what.rpartition(", ")[2] for row in result.rows] == [
        "one core",
        "first epoch",
        "second epoch",
    ]
    assert all(row.ours > 0 and row.peer > 0 for row in result.rows)


MACHINE = {"cpu": "A processor with quite a long name @ 2.45 GHz", "cores": 2, "torch": "2.14.1+cu130"}
LIMIT = {"fp32": 149.6, "bf16": 1050.0, "threads": 2}


def test_comparisons_fit_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    execution = "fp32, channels-last, 2 threads (1.10 x plain PyTorch, measured earlier)"
    rows = [
        Row(what, "images/s", 12_340, 9_876, who, 1.25, (1.2, 1.31), ((12_340, 9_876),), notes)
        for what, notes in (
            ("training step, resnet20", {"execution": execution, "share_of_limit": 0.64}),
            ("160 photos of 1600 x 1200 to random crops of 224, first epoch", {}),
        )
        for who in (
            "plain PyTorch loop (fp32, NCHW)",
            "timm: the step of train.py, fp32, without --channels-last",
        )
    ]
    print_comparison(Bench("train", MACHINE, LIMIT, tuple(rows)))
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 80
    plain = [line.split() for line in lines if line.startswith("plain")]
    assert (
        plain == [["plain", "PyTorch", "loop", "(fp32,", "NCHW)", "12,340", "9,876", "1.25", "1.20-1.31"]] * 2
    )
    assert printed.count("training step, resnet20 (images/s)") == 1
    assert "64% of the limit" in printed


def test_curves_fit_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    memory = [{"own_memory_bytes": 812 * 2**20, "peak_memory_bytes": 1_900 * 2**20}] * 2
    loads = [Load(2_000, 2_000, 2_000, 40_551_040), Load(32_000, 32_000, 32_000, 40_551_040)]
    curve = Curve("data set", "training images", "an epoch", points(loads, [[12_340.0], [12_345.0]], memory))
    print_scaling(Scaling(MACHINE, LIMIT, "fp32, channels-last, 2 threads", (curve.against(4_000),)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.strip().startswith("32,000"))
    assert row.split() == ["32,000", "12,345", "12,345-12,345", "75%", "15.99", "16.00", "812", "1,900"]
    assert "linear would be 16.00 times" in " ".join(lines)


def test_parts_are_printed_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    what = "training steps, resnet20, batch 128, 32 x 32: 2 processes of 1 thread"
    row = Row(
        what, "images/s", 900.0, 1_000.0, "1 process of 2 threads", 0.9, (0.8, 1.0), ((900.0, 1_000.0),)
    )
    inputs = {
        "steps": [
            {
                "network": "resnet50",
                "processes": 2,
                "threads": 1,
                "seconds_per_image": 0.1234,
                "seconds_per_step": 0.05,
            }
        ],
        "links": [{"processes": 2, "link": {"bandwidth": 1.5e9, "latency": 2e-4}}],
        "images": {"bytes": 110_000.0, "seconds": 0.004},
    }
    notes = {"killed": "process 1", "seconds_to_next_step": 5.0, "seconds_lost": 6.04, "steps_repeated": 31.0}
    runs = ((40.0, 30.0),)
    killed = Row("training, one killed", "s", 40.0, 30.0, "the same run", 1.33, (1.33, 1.33), runs, notes)
    print_scaling(Scaling(MACHINE, LIMIT, "fp32", (), (row, killed), inputs))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert ["1", "process", "of", "2", "threads", "900", "1,000", "0.90", "0.80-1.00"] in [
        line.split() for line in lines
    ]
    assert ["resnet50", "2", "1", "123.40", "50.00"] in [line.split() for line in lines]
    text = " ".join(" ".join(lines).split())
    assert "training, one killed (s)" in text
    assert "process 1: 5.0 s to the next step, 6.0 s until all was as before, 31 steps repeated" in text
    assert "all-reduce over loopback between 2 processes: 1,500 MB/s, 0.200 ms a message" in text
    assert "a photo of 110 kB: 4.00 ms of one core to decode" in text


def test_one_part_alone_and_the_command_that_measures_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, object]] = []

    def measured(**options: object) -> Scaling:
        asked.append(options)
        return Scaling(MACHINE, LIMIT, "fp32")

    monkeypatch.setattr(bench, "bench_scale", measured)
    app(["bench", "scale", "--part", "processes", "--part", "model", "--json"], standalone_mode=False)
    values = json.loads(capsys.readouterr().out)
    assert asked[0]["parts"] == ["processes", "model"]
    assert values["command"] == "skipline bench scale --part processes --part model --turns 3"
    assert (values["kind"], values["rows"], values["model_inputs"]) == ("scale", [], None)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no benchmark is called .trian.\. Did you mean train"):
        app(["bench", "trian"], standalone_mode=False)
    with pytest.raises(InputError, match="--turns must be at least 1"):
        app(["bench", "train", "--turns", "0"], standalone_mode=False)
    with pytest.raises(InputError, match="--model is for `skipline bench train`"):
        app(["bench", "input", "--model", "resnet20"], standalone_mode=False)
    with pytest.raises(
        InputError, match="--peers is for `skipline bench train` and `predict`; `bench scale`"
    ):
        app(["bench", "scale", "--peers", "python"], standalone_mode=False)
    with pytest.raises(
        UnknownNameError, match=r"no part of the benchmark is called .curve.\. Did you mean curves"
    ):
        app(["bench", "scale", "--part", "curve"], standalone_mode=False)
    with pytest.raises(InputError, match="--part is for `skipline bench scale`; `bench input` has one part"):
        app(["bench", "input", "--part", "model"], standalone_mode=False)
    with pytest.raises(InputError, match="--peers takes the Python of an environment with the peers"):
        app(["bench", "predict", "--peers", str(tmp_path)], standalone_mode=False)
    with pytest.raises(InputError, match=r"--out: there is no folder '.*none' to write x\.json into"):
        app(["bench", "train", "--out", str(tmp_path / "none" / "x.json")], standalone_mode=False)
