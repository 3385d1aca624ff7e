"""Images of shards as a `Container`: those that are held out go into the cache, as of any other source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath

from skipline.data.folder import spread
from skipline.data.imageset import Problem
from skipline.data.listing import Entry, Listing, printable
from skipline.data.shards.index import ShardIndex
from skipline.data.shards.samples import Samples


class ShardedImages:
    """Some images of a set of shards.

    Args:
        name: of the set.
        samples: where the images lie.
        entries: of each image, in the same order; none where only the contents are asked for.
        classes: every class that an entry may have.
        problems: shards and images that were left out.
    """

    def __init__(
        self,
        name: str,
        samples: Samples,
        entries: Sequence[Entry],
        classes: Sequence[str],
        problems: Sequence[Problem] = (),
    ) -> None:
        self._name, self._samples, self._problems = name, samples, tuple(problems)
        self._entries, self._classes = tuple(entries), tuple(classes)

    @property
    def name(self) -> str:
        """What the set is called."""
        return self._name

    def manifest(self) -> str:
        """Digest of the shards' digests, of which images these are, and of what they are called."""
        digest = hashlib.sha256(self._samples.fingerprint().encode())
        digest.update(json.dumps([[e.name, e.split, e.label] for e in self._entries]).encode())
        return digest.hexdigest()

    def listing(self) -> Listing:
        """The images in the order of splits, shards and places."""
        return Listing(self._entries, self._classes, self._problems)

    def sample(self, count: int) -> Iterable[bytes]:
        """The content of up to `count` images, evenly spread over the listing."""
        for row in spread(len(self._entries), count):
            yield self._read(row)

    def contents(self) -> Iterator[Callable[[], bytes]]:
        """Readers in the order of the listing."""
        for row in range(len(self._samples)):
            yield partial(self._read, row)

    def close(self) -> None:
        """Nothing stays open."""

    def _read(self, row: int) -> bytes:
        return self._samples.file(row)


def names_of(place: str, index: ShardIndex) -> list[str]:
    """What the images of a shard are called: shard and key, and where a key occurs again its number as well."""
    stem = str(PurePosixPath(place).with_suffix(""))
    seen: set[str] = set()
    names = []
    for number, key in enumerate(index.keys):
        name = printable(f"{stem}/{key}")
        names.append(f"{name}#{number}" if name in seen else name)
        seen.add(name)
    return names
