"""Which columns of a parquet file hold images and labels, and whether its own account of its size can be true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skipline.data.listing import printable
from skipline.errors import SourceError
from skipline.storage import parse_json

IMAGE_COLUMNS = ("image", "img", "picture", "photo")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
MOST_ROWS = 2**22  # of one file; larger sets come in several
TEXTS = ("string", "large_string")
MOST_COLUMNS = 1000
ROWS_AT_ONCE = 64
BYTES_AT_ONCE = 2**29
MOST_RATIO = 200  # of unpacked to packed bytes of a column, beyond FREE_BYTES
FREE_BYTES = 2**28


@dataclass(frozen=True)
class Columns:
    """Where images and labels stand in a table.

    Attributes:
        image: column of images.
        nested: whether an image is a struct with a field `bytes`.
        label: column of labels.
        text: whether labels are texts.
        names: class names by label, or None where the schema has none.
        at_once: rows whose images are read together; fewer where they may be large.
    """

    image: str
    nested: bool
    label: str
    text: bool
    names: tuple[str, ...] | None
    at_once: int = ROWS_AT_ONCE


def columns_of(schema: Any, metadata: Any, size: int, source: str) -> Columns:
    """Find the image and the label column.

    Args:
        schema: of arrow.
        metadata: of the parquet file.
        size: of the file in bytes.
        source: how the user called it.

    Raises:
        SourceError: there are none, or the file claims to hold more than files of images do.
    """
    if metadata.num_rows > min(MOST_ROWS, size) or metadata.num_columns > MOST_COLUMNS:
        raise SourceError(
            f"'{source}' claims to have {metadata.num_rows:,} rows and {metadata.num_columns:,} columns in {size:,} "
            f"bytes; a file of images has at most {MOST_ROWS:,} and {MOST_COLUMNS:,}: split it into several"
        )
    if len(set(schema.names)) < len(schema.names):
        raise SourceError(f"'{source}' has two columns of one name: rename one")
    features = _features(schema.metadata)
    kinds = {name: str(value.get("_type")) for name, value in features.items() if isinstance(value, dict)}
    types = {name: str(schema.field(name).type) for name in schema.names}
    images = [n for n in schema.names if kinds.get(n) == "Image" and _is_image(types[n])] or [
        n for n, kind in types.items() if _is_image(kind)
    ]
    labels = [n for n in schema.names if kinds.get(n) == "ClassLabel" and _is_label(types[n])] or [
        n for n, kind in types.items() if _is_label(kind)
    ]
    image, label = _pick(images, IMAGE_COLUMNS), _pick(labels, LABEL_COLUMNS)
    if image is None or label is None:
        missing = (
            "image column (a struct with bytes)" if image is None else "label column (integers or strings)"
        )
        columns = printable(", ".join(f"{name[:100]}: {kind[:100]}" for name, kind in types.items())[:1000])
        raise SourceError(f"'{source}' has no single {missing} called as expected; it has {columns}")
    names = features.get(label, {}).get("names") if kinds.get(label) == "ClassLabel" else None
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise SourceError(f"the class names in the metadata of '{source}' are no list of texts")
    return Columns(
        image,
        types[image].startswith("struct"),
        label,
        types[label] in TEXTS,
        tuple(names) if names and types[label] not in TEXTS else None,
        _rows_at_once(metadata, size, source),
    )


def _features(metadata: Any) -> dict[str, Any]:
    """What the `datasets` library wrote about the columns; nothing where it cannot be read."""
    try:
        value = parse_json((metadata or {}).get(b"huggingface") or b"{}")
        for key in ("info", "features"):
            value = value.get(key, {}) if isinstance(value, dict) else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_image(kind: str) -> bool:
    return kind.startswith("struct<bytes: ") or kind in ("binary", "large_binary")


def _is_label(kind: str) -> bool:
    return kind.startswith(("int", "uint")) or kind in TEXTS


def _pick(candidates: list[str], usual: tuple[str, ...]) -> str | None:
    """The only candidate, or the one with the most usual name."""
    if len(candidates) == 1:
        return candidates[0]
    return next((name for name in usual if name in candidates), None)


def _rows_at_once(metadata: Any, size: int, source: str) -> int:
    """How many rows can be read together without the repeats of a dictionary filling the memory.

    A column's values may be numbers of entries in a dictionary; read, every row becomes a copy of its entry, which is
    at most as large as its group of rows. The columns' own metadata would tell more, but a broken one ends the process:
    pyarrow throws where nothing can catch it.
    """
    groups: list[int] = [
        metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)
    ]
    if sum(groups) > max(FREE_BYTES, MOST_RATIO * size) or min(groups, default=0) < 0:
        raise SourceError(
            f"'{source}' unpacks to more than {MOST_RATIO} times its size, as no file of images does"
        )
    return max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // max(1, *groups, 1)))
