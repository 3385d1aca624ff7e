"""Shards behind HTTP: in pieces where the server gives pieces, whole where it does not, in words where it fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_lazy import in_memory

from skipline.data import Batches, Preprocessing, open_source
from skipline.data.shards import pack, verify, whole
from skipline.data.shards import remote as module
from skipline.data.shards.forward import Forward
from skipline.data.shards.remote import RemoteFile
from skipline.errors import ShardError, SourceError

PREPROCESSING = Preprocessing(3, 12, 12, (0.4,) * 3, (0.2,) * 3)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.0)


@pytest.fixture
def served(shards: Any) -> Path:
    """Training and test shards of another tool."""
    shards()
    return Path(shards(count=12, first=100, pattern="test-%06d.tar"))


@pytest.mark.parametrize("ranges", [True, False])
def test_batches_are_those_of_the_local_shards(ranges: bool, served: Path, serve: Any) -> None:
    with serve(served, ranges) as server:
        there = open_source(f"{server.url}/{{train-{{000000..000002}},test-000000}}.tar")
        here = open_source(served)
        assert there.classes == here.classes
        assert there.train.fingerprint == here.train.fingerprint
        streamed, local = (Batches(data.train, PREPROCESSING, batch_size=16) for data in (there, here))
        for one, other in zip(streamed.epoch(0), local.epoch(0), strict=True):
            assert (one.images == other.images).all()
            assert (one.labels == other.labels).all()
        said = "the server gives no parts of files: shards are fetched whole, and at most 8 GiB of them kept"
        assert (said in there.notes) is not ranges


def test_only_the_wanted_ranges_are_asked_for(served: Path, serve: Any) -> None:
    with serve(served) as server:
        train = open_source(f"{server.url}/train-{{000000..000002}}.tar").train
        first = in_memory(60, side=12)[_first_of(train)]
        server.asked.clear()
        assert np.array_equal(train.images[np.array([0])][0], first)
        assert len(server.asked) == 1
        path, wanted = server.asked[0]
        start, stop = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
        assert path == "/train-000000.tar"
        assert stop - start < 1_000


def _first_of(train: Any) -> int:
    """Which of the sixty images is the first one that is not held out."""
    array = in_memory(60, side=12)
    return next(n for n in range(60) if np.array_equal(array[n], train.images[0]))


def test_an_epoch_over_http_joins_near_images(served: Path, serve: Any) -> None:
    """Sixty small images in three shards: a request or two a shard, not one an image."""
    with serve(served) as server:
        train = open_source(f"{server.url}/{{train-{{000000..000002}},test-000000}}.tar").train
        server.asked.clear()
        batches = Batches(train, PREPROCESSING, batch_size=8, leftover="spread")
        seen = [index for batch in batches.epoch(0) for index in batch.indices.tolist()]
        assert sorted(seen) == list(range(60))
        assert len(server.asked) <= 6


def test_a_second_opening_reads_no_headers_again(served: Path, serve: Any) -> None:
    with serve(served) as server:
        url = f"{server.url}/{{train-{{000000..000002}},test-000000}}.tar"
        first = open_source(url)
        server.asked.clear()
        assert open_source(url).fingerprint == first.fingerprint
        assert all(wanted for path, wanted in server.asked if path.endswith(".tar"))  # ranges, no whole shard


def test_a_packed_set_is_known_by_its_address_alone(photos: Any, serve: Any, tmp_path: Path) -> None:
    pytest.importorskip("webdataset", reason="the extra shards is not installed")
    folder = photos({"train/cat": 20, "train/dog": 20, "test/cat": 5, "test/dog": 5})
    pack(folder, tmp_path / "set", shard_size=40_000)
    with serve(tmp_path) as server:
        there = open_source(f"{server.url}/set")
        assert there.name == "set"
        assert there.classes == ("cat", "dog")
        assert (len(there.train), len(there.test)) == (40, 10)
        assert there.fingerprint == open_source(tmp_path / "set").fingerprint
        assert not verify(f"{server.url}/set").broken
        part = open_source(f"{server.url}/set/train-{{000000..000000}}.tar")
        assert len(part.train) < 40
        assert len(part.test) == 10  # those that the manifest lists
        assert part.notes[0].startswith("held-out images are those of the")


def test_a_server_that_stumbles_is_asked_again(served: Path, serve: Any) -> None:
    with serve(served) as server:
        train = open_source(f"{server.url}/{{train-{{000000..000002}},test-000000}}.tar").train
        server.failures[0] = 3
        assert np.array_equal(train.images[:5], in_memory(5, side=12))


def test_a_server_that_is_gone_ends_the_run_in_words(served: Path, serve: Any) -> None:
    with serve(served) as server:
        train = open_source(f"{server.url}/{{train-{{000000..000002}},test-000000}}.tar").train
        server.failures[0] = 10**6
        with pytest.raises(ShardError, match=r"cannot be read after 6 attempts \(503 Service Unavailable\)"):
            train.images[:5]
        with pytest.raises(ShardError, match="cannot be read after 6 attempts"):
            next(Batches(train, PREPROCESSING, batch_size=8).epoch(0))


def test_addresses_that_lead_nowhere_are_told(served: Path, serve: Any) -> None:
    with serve(served) as server:
        with pytest.raises(SourceError) as refused:
            open_source(f"{server.url}/")
        assert "there is no 'shards.json' at" in str(refused.value)
        with pytest.raises(SourceError) as refused:
            open_source(f"{server.url}/other-{{0..1}}.tar")
        assert "other-0.tar: there is no such shard" in str(refused.value)


def test_a_missing_shard_is_left_out_and_named(served: Path, serve: Any) -> None:
    with serve(served) as server:
        dataset = open_source(f"{server.url}/{{train-{{000000..000003}},test-000000}}.tar")
    assert len(dataset.train) == 60
    assert [(p.file, p.reason) for p in dataset.problems] == [("train-000003.tar", "there is no such shard")]


def test_whole_shards_are_kept_within_bounds(
    served: Path, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (served / "train-000000.tar").stat().st_size
    monkeypatch.setattr(whole, "KEPT_BYTES", 2 * size)
    with serve(served, ranges=False) as server:
        train = open_source(f"{server.url}/{{train-{{000000..000002}},test-000000}}.tar").train
        assert np.array_equal(train.images[:], in_memory(60, side=12))
        kept = list((Path(os.environ["SKIPLINE_HOME"]) / "shards").glob("*.tar"))
        assert sum(path.stat().st_size for path in kept) <= 2 * size


def test_ranges_are_short_only_at_the_end(served: Path, serve: Any) -> None:
    content = (served / "test-000000.tar").read_bytes()
    with serve(served) as server:
        file = RemoteFile(f"{server.url}/test-000000.tar")
        assert file.head().size == len(content)
        assert file.read(10, 20) == content[10:30]
        assert file.read(len(content) - 5, 20) == content[-5:]
        assert file.read(len(content), 20) == b""
        assert b"".join(file.through()) == content


def test_blocks_are_read_as_a_file() -> None:
    content = bytes(range(256)) * 20
    file = Forward(iter([content[start : start + 700] for start in range(0, len(content), 700)]))
    assert file.read(10) == content[:10]
    assert file.seek(3_000) == 3_000
    assert file.read(500) == content[3_000:3_500]
    assert file.seek(2_990) == 2_990  # the last two blocks of a tar are still there
    assert file.read(20) == content[2_990:3_010]
    file.seek(5_110)
    assert file.read(100) == content[5_110:]
    assert file.read(1) == b""
