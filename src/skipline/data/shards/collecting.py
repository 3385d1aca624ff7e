"""The indices of all shards of a set: read where they lie beside the shards or are remembered, else made."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from skipline.data.home import cache_folder, index_folder, read_json, sole_writer, write_json
from skipline.data.imageset import Problem
from skipline.data.pipeline import cores
from skipline.data.progress import Progress
from skipline.data.shards.finding import Beside, FoundShards
from skipline.data.shards.index import ShardIndex, index_name, read_through
from skipline.data.shards.manifest import MAX_BYTES, PackedShard
from skipline.data.shards.places import Place, State
from skipline.errors import ShardError
from skipline.storage import parse_json


@dataclass(frozen=True, eq=False)
class Collected:
    """The shards of a set that can be used.

    Attributes:
        places: the shards.
        splits: of each.
        indices: of each.
        problems: shards that were left out, and images of others.
    """

    places: tuple[Place, ...]
    splits: tuple[str | None, ...]
    indices: tuple[ShardIndex, ...]
    problems: tuple[Problem, ...]


def collect(found: FoundShards, progress: Progress) -> Collected:
    """Index every shard of a set, several at a time.

    Args:
        found: the set.
        progress: told about shards.

    Raises:
        ShardError: a shard cannot be read for a reason that lies outside of it, such as the network.
    """
    packed = {shard.name: shard for shard in found.manifest.shards} if found.manifest else {}

    def one(place: Place) -> ShardIndex | Problem:
        return _index(place, packed.get(place.name), found.beside)

    key = hashlib.sha256("\0".join(place.key for place in found.places).encode()).hexdigest()[:32]
    workers = max(cores(), max((place.streams for place in found.places), default=0))
    outcomes: list[ShardIndex | Problem] = []
    # The processes of one machine that open the same set would else all read through it.
    with sole_writer(cache_folder(), key, progress), ThreadPoolExecutor(workers, "skipline-index") as pool:
        try:
            for outcome in pool.map(one, found.places):
                outcomes.append(outcome)
                progress(f"looking through the shards of {found.name}", len(outcomes), len(found.places))
        finally:
            pool.shutdown(cancel_futures=True)
    rows = [row for row, outcome in enumerate(outcomes) if isinstance(outcome, ShardIndex)]
    return Collected(
        places=tuple(found.places[row] for row in rows),
        splits=tuple(found.splits[row] for row in rows),
        indices=tuple(outcome for outcome in outcomes if isinstance(outcome, ShardIndex)),
        problems=tuple(_problems(found.places, outcomes)),
    )


def _problems(places: Iterable[Place], outcomes: Iterable[ShardIndex | Problem]) -> Iterable[Problem]:
    for place, outcome in zip(places, outcomes, strict=True):
        if isinstance(outcome, Problem):
            yield outcome
        elif outcome.unlabelled:
            images = "image" if outcome.unlabelled == 1 else "images"
            yield Problem(
                place.name,
                f"{outcome.unlabelled:,} {images} without a label (.cls, or .json with 'label' or 'class')",
            )


def _index(place: Place, packed: PackedShard | None, beside: Beside) -> ShardIndex | Problem:
    """The index of one shard, or why the shard is left out."""
    try:
        state = place.state()
    except FileNotFoundError:
        return Problem(place.name, "there is no such shard")
    except OSError as error:
        raise ShardError(f"{place.name}: cannot be read: {error.strerror or error}") from error
    if packed is not None and state.size != packed.size:
        kind = "cut off" if state.size < packed.size else "not the one that was packed"
        return Problem(place.name, f"{kind}: it has {state.size:,} bytes instead of {packed.size:,}")
    name = hashlib.sha256(f"{place.key}\0{state.size}\0{state.stamp}".encode()).hexdigest()[:32]
    remembered = index_folder() / f"shard-{name}.json"
    index = _known(read_json(remembered), state)
    if index is None or (packed is not None and index.digest != packed.sha256):
        try:
            index = _of_pack(packed, beside, state) or read_through(place, state)
        except tarfile.ReadError as error:
            return Problem(place.name, f"not a whole .tar archive ({error})")
        if packed is not None:
            index = replace(index, digest=packed.sha256)
        write_json(remembered, index.to_json())
    return index


def _known(values: dict[str, object] | None, state: State) -> ShardIndex | None:
    try:
        return None if values is None else ShardIndex.from_json(values, state.size)
    except ValueError:
        return None


def _of_pack(packed: PackedShard | None, beside: Beside, state: State) -> ShardIndex | None:
    """The index beside a shard of `skipline data pack`; None where it is missing or damaged: a pass makes it anew."""
    content = None if packed is None else beside.read(index_name(packed.name), MAX_BYTES)
    if packed is None or content is None or hashlib.sha256(content).hexdigest() != packed.index:
        return None
    try:
        values = parse_json(content)
    except ValueError:
        return None
    return _known(values if isinstance(values, dict) else None, state)
