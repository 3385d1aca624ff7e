"""Streaming against the cache: both sides are measured on the same images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from skipline.bench import streaming

pytest.importorskip("webdataset", reason="the extra shards is not installed")


def test_rows_are_of_both_kinds_of_image_and_leave_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few = {"made": 40, "batch_size": 8, "shard_size": 30_000, "network": "resnet20", "steps": 2}
    monkeypatch.setattr(streaming, "SMALL", replace(streaming.SMALL, **few))
    monkeypatch.setattr(
        streaming, "PHOTOS", replace(streaming.PHOTOS, size=(40, 30), stored=32, side=28, **few)
    )
    monkeypatch.setattr(streaming.tempfile, "tempdir", str(tmp_path))
    rows = streaming.streaming_rows(turns=1)
    assert [row.what for row in rows] == [
        "batches of JPEG files of 32 x 32, crop and flip",
        "training resnet20 on JPEG files of 32 x 32",
        "batches of JPEG photos of 256 px, random crops of 224",
        "training resnet20 on JPEG photos of 256 px",
    ]
    for row in rows:
        assert row.peer_name == "decoded cache"
        assert row.ratio == pytest.approx(row.ours / row.peer)
        assert row.notes["shards"] > 1
        assert row.notes["bytes_per_image"] > 500
    assert not list(tmp_path.glob("skipline-bench-*"))
