"""How cost grows: that the points are the networks they say they are, and what comes out. No speed is asserted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from skipline import bench, models
from skipline.bench import dataset_size, scaling
from skipline.bench.comparison import Row
from skipline.bench.dataset_size import write_sources
from skipline.bench.limit import Limit
from skipline.bench.scaling import Grid, _counts, _macs, _resnet
from skipline.data import open_source, silent
from skipline.training.precision import Execution

SMALL = Grid(batches=(2, 4), depths=(8, 14), widths=(1, 2), sides=(8, 16), sizes=(130, 260))


@pytest.mark.parametrize("depth", Grid().depths)
def test_the_depths_are_the_networks_of_the_catalogue(depth: int) -> None:
    network = _resnet(depth=depth)
    spec = models.spec(f"resnet{depth}")
    assert sum(p.numel() for p in network.parameters()) == spec.params
    assert _macs(network, 32) == spec.macs


def test_twice_the_width_is_nearly_four_times_the_work_and_twice_the_side_exactly() -> None:
    assert _macs(_resnet(width=2), 32) / _macs(_resnet(), 32) == pytest.approx(4, rel=0.02)
    # The linear layer, 640 multiply-adds, does not grow with the side.
    assert _macs(_resnet(), 64) - 640 == 4 * (_macs(_resnet(), 32) - 640)


@pytest.mark.parametrize(
    ("cores", "expected"),
    [(1, (1,)), (2, (1, 2)), (6, (1, 2, 3, 4, 5, 6)), (12, (1, 2, 4, 8, 12)), (16, (1, 2, 4, 8, 16))],
)
def test_threads_that_are_measured(cores: int, expected: tuple[int, ...]) -> None:
    assert _counts(cores) == expected


def test_the_smaller_data_sets_are_parts_of_the_larger_and_go_through_the_store(tmp_path: Path) -> None:
    small, large = (open_source(path) for path in write_sources(tmp_path, (30, 60), silent))
    assert (len(small.train), len(large.train)) == (30, 60)
    assert len(small.test) == len(large.test) == 20
    assert small.classes == large.classes == tuple(f"class{i}" for i in range(10))
    assert small.train.shape == (3, 32, 32)
    pictures = {picture.tobytes() for picture in large.train.images}
    assert len(pictures) == 60
    assert all(picture.tobytes() in pictures for picture in small.train.images)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SECONDS", 0.0)
    monkeypatch.setattr(scaling, "BATCH", 2)
    monkeypatch.setattr(scaling, "measure_limit", lambda threads: Limit(100.0, 50.0, threads))
    monkeypatch.setattr(scaling, "choose_execution", lambda *a, **k: Execution(threads=1, compiled=True))


@pytest.mark.usefixtures("quick")
def test_the_other_curves_survive_a_process_that_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        dataset_size, "_command", lambda *a: [sys.executable, "-c", "raise MemoryError('too small')"]
    )
    grid = Grid(batches=(2,), depths=(8,), widths=(1,), sides=(8,), sizes=(130,))
    result = bench.bench_scale(parts=("curves",), rounds=1, threads=1, grid=grid)
    assert len(result.curves) == 5
    assert result.notes == (
        "no curve over the size of the data set: the process of 130 images: MemoryError: too small",
    )


@pytest.mark.usefixtures("quick")
def test_a_whole_run() -> None:
    values = bench.bench_scale(parts=("curves",), rounds=1, threads=1, grid=SMALL).to_json()
    json.dumps(values, allow_nan=False)
    assert set(values) == {"kind", "machine", "limit", "execution", "rows", "model_inputs", "notes"}
    assert values["kind"] == "scale"
    assert values["execution"] == "fp32, channels-last, 1 thread"  # not compiled: every point would be anew
    rows = {row["what"]: row for row in values["rows"]}
    assert [row["axis"] for row in values["rows"]] == [
        "images a batch",
        "layers",
        "times the channels",
        "pixels a side",
        "threads",
        "training images",
        "training images",
    ]
    depth = rows["depth: resnet20 ... 14, batch 2, 32 x 32"]
    assert [point["x"] for point in depth["points"]] == [8, 14]
    assert depth["points"][1]["linear"] == _macs(_resnet(depth=14), 32) / _macs(_resnet(depth=8), 32)
    trained = rows["data set: resnet20 trained from the store"]
    assert [point["linear"] for point in trained["points"]] == [1, 2]
    for point in trained["points"]:
        own, peak = point["notes"]["own_memory_bytes"], point["notes"]["peak_memory_bytes"]
        assert own is None or 50 * 2**20 < own < peak
    for row in values["rows"]:
        assert all(point["images_per_second"] > 0 and len(point["runs"]) == 1 for point in row["points"])


@pytest.mark.usefixtures("quick")
def test_a_part_that_cannot_be_measured_is_named_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (Row("shards", "images/s", 1.0, 2.0, "cache", 0.5, (0.5, 0.5), ((1.0, 2.0),)),)
    monkeypatch.setattr(scaling, "streaming_rows", lambda **options: rows)
    result = bench.bench_scale(parts=("processes", "streaming"), rounds=1, threads=1)
    assert result.comparisons == rows
    assert result.notes == ("not measured: processes: 2 processes need a thread each",)
    assert [row["what"] for row in result.to_json()["rows"]] == ["shards"]
