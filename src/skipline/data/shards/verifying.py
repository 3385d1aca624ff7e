"""`skipline data verify`: whether shards are as they were packed, or, of another tool's, whether they can be read."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skipline.data.imageset import Problem
from skipline.data.pipeline import decode_all
from skipline.data.progress import Progress, silent
from skipline.data.shards.collecting import collect
from skipline.data.shards.finding import Beside, FoundShards, find_shards
from skipline.data.shards.held_out import ShardedImages, names_of
from skipline.data.shards.index import ShardIndex, index_name
from skipline.data.shards.looking import LOOK
from skipline.data.shards.manifest import MAX_BYTES, PackedShard
from skipline.data.shards.naming import holds_shards
from skipline.data.shards.places import Place, digest_of
from skipline.data.shards.samples import Samples
from skipline.errors import SourceError
from skipline.storage import parse_json

NAMED = 20  # damaged images of one shard that are named


@dataclass(frozen=True)
class Verified:
    """What a look at shards found.

    Attributes:
        source: what was looked at.
        packed: whether there is a manifest to compare with; else headers were walked over and all images decoded.
        shards: how many should be there.
        samples: how many images there are, as the manifest or the headers say.
        fingerprint: of the manifest, or None.
        broken: everything that is not as it should be, by shard or image.
    """

    source: str
    packed: bool
    shards: int
    samples: int
    fingerprint: str | None
    broken: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "broken": [asdict(problem) for problem in self.broken]}


def verify(source: str | Path, progress: Progress = silent) -> Verified:
    """Read every byte of a set of shards.

    Args:
        source: as `open_shards` takes it.
        progress: told about shards and images.

    Raises:
        SourceError: there are no shards, or the manifest itself is damaged.
        ShardError: a server cannot be reached.
    """
    if not holds_shards(source):
        raise SourceError(
            f"'{source}' holds no shards: expected a folder of .tar files, a pattern such as train-{{000..012}}.tar, "
            "or their address"
        )
    found = find_shards(source)
    if found.manifest is None:
        return _decoded(str(source), found, progress)
    by_name = {shard.name: shard for shard in found.manifest.shards}
    broken: list[Problem] = []
    for number, place in enumerate(found.places, 1):
        broken += _compared(place, by_name[place.name], found.beside)
        progress("comparing shards", number, len(found.places))
    samples = sum(by_name[place.name].samples for place in found.places)
    whole = len(found.places) == len(by_name)
    fingerprint = found.manifest.fingerprint if whole else None
    return Verified(str(source), True, len(found.places), samples, fingerprint, tuple(broken))


def _compared(place: Place, packed: PackedShard, beside: Beside) -> Iterator[Problem]:
    """What of a shard is not as it was packed."""
    content = beside.read(index_name(packed.name), MAX_BYTES)
    index = None
    if content is None:
        yield Problem(index_name(packed.name), "missing: the shard's index")
    elif hashlib.sha256(content).hexdigest() != packed.index:
        yield Problem(index_name(packed.name), "damaged: its SHA-256 is not that of the shard's index")
    else:
        index = _parsed(content, packed.size)
    try:
        size = place.state().size
    except FileNotFoundError:
        yield Problem(place.name, "missing")
        return
    if size < packed.size:
        yield Problem(place.name, f"cut off: {size:,} of {packed.size:,} bytes")
        return
    digest, size = digest_of(place)
    if digest == packed.sha256:
        return
    if size != packed.size:
        yield Problem(place.name, f"not the shard that was packed: {size:,} bytes instead of {packed.size:,}")
        return
    damaged = list(_damaged(place, index)) if index is not None else []
    count = f", in {len(damaged):,} of {packed.samples:,} images" if damaged else ", in no image"
    yield Problem(place.name, "damaged: its SHA-256 is not that of the manifest" + (count if index else ""))
    yield from damaged[:NAMED]


def _parsed(content: bytes, size: int) -> ShardIndex | None:
    try:
        return ShardIndex.from_json(parse_json(content), size)
    except (ValueError, AttributeError):
        return None


def _damaged(place: Place, index: ShardIndex) -> Iterator[Problem]:
    if index.checks is None:
        return
    for name, offset, length, check in zip(
        names_of(place.name, index),
        index.offsets.tolist(),
        index.sizes.tolist(),
        index.checks.tolist(),
        strict=True,
    ):
        if zlib.crc32(place.read(offset, length)) != check:
            yield Problem(name, "damaged: its checksum is not that of the file that was packed")


def _decoded(source: str, found: FoundShards, progress: Progress) -> Verified:
    """Walk over the headers of another tool's shards, and decode every image."""
    shards = collect(found, progress)
    broken = list(shards.problems)
    names = [
        n for place, i in zip(shards.places, shards.indices, strict=True) for n in names_of(place.name, i)
    ]
    images = ShardedImages(found.name, Samples.of(shards.places, shards.indices), (), ())
    with closing(decode_all(images.contents(), names, channels=3, stored=LOOK)) as outcomes:
        for number, outcome in enumerate(outcomes, 1):
            if outcome.decoded is None:
                broken.append(Problem(names[number - 1], outcome.reason))
            progress("decoding images", number, len(names))
    return Verified(source, False, len(found.places), len(names), None, tuple(broken))
