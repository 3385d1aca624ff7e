"""`shards.json`: what `skipline data pack` writes beside its shards, last of all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from skipline.data.listing import SPLITS, class_name

NAME = "shards.json"
UNFINISHED = ".packing.json"
"""Beside the shards while they are not complete."""
FORMAT = 1
MAX_BYTES = 2**28
_FILE = re.compile(r"[A-Za-z0-9_-]+\.tar")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PackedShard:
    """One shard as it was written.

    Attributes:
        name: of its file, beside the manifest.
        samples: how many images it holds.
        size: bytes.
        sha256: hexadecimal, of the shard.
        index: likewise, of the JSON file beside it.
    """

    name: str
    samples: int
    size: int
    sha256: str
    index: str


@dataclass(frozen=True)
class Manifest:
    """A set of shards that is complete.

    Attributes:
        source: how the source that was packed is called.
        classes: K names; labels count them from 0.
        splits: "train", "validation" and "test": their shards, in order.
    """

    source: str
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[PackedShard, ...]]

    @property
    def shards(self) -> tuple[PackedShard, ...]:
        """All of them."""
        return tuple(shard for split in SPLITS for shard in self.splits.get(split, ()))

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over classes and shards."""
        content = [
            self.classes,
            *([s, *asdict(shard).values()] for s in SPLITS for shard in self.splits.get(s, ())),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        counts = {split: sum(shard.samples for shard in shards) for split, shards in self.splits.items()}
        return {
            "format": FORMAT,
            "source": self.source,
            "classes": list(self.classes),
            "samples": counts,
            "splits": {split: [asdict(shard) for shard in shards] for split, shards in self.splits.items()},
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_json(cls, values: Any) -> Manifest:
        """The inverse of `to_json`, whoever wrote it.

        Raises:
            ValueError: it is no such manifest; says what is wrong.
        """
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"expected an object of format {FORMAT}")
        try:
            classes = tuple(class_name(str(name)) for name in values["classes"])
            splits = {
                split: tuple(_shard(shard) for shard in values["splits"][split])
                for split in SPLITS
                if values["splits"].get(split)
            }
            found = cls(class_name(str(values["source"])), classes, splits)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"it lacks values or has wrong ones ({error})") from None
        if len(set(classes)) < len(classes) or not classes:
            raise ValueError("its classes are not all different, or there are none")
        if len({shard.name for shard in found.shards}) < len(found.shards):
            raise ValueError("it names a shard twice")
        if found.fingerprint != values.get("fingerprint"):
            raise ValueError("its fingerprint does not belong to what it lists: it was edited or damaged")
        return found


def _shard(values: dict[str, Any]) -> PackedShard:
    shard = PackedShard(
        str(values["name"]),
        int(values["samples"]),
        int(values["size"]),
        str(values["sha256"]),
        str(values["index"]),
    )
    if not _FILE.fullmatch(shard.name):
        raise ValueError(f"it names a shard {shard.name[:80]!r}, which is no file beside it")
    if min(shard.samples, shard.size) < 0 or not all(map(_SHA256.fullmatch, (shard.sha256, shard.index))):
        raise ValueError(f"it says impossible things of {shard.name}")
    return shard
