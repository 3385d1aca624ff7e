"""Every parser that reads what anyone may have made, with valid files to begin from and ways to damage them.

Used by tests/test_fuzz.py with hypothesis (few inputs, on every run of the tests) and by benchmarks/fuzz.py with
atheris (many inputs). A parser may return whatever it likes or raise a SkiplineError; anything else is a mistake.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save as safetensors_bytes

import fuzz_records
from skipline.bundle import load_bundle, save_bundle
from skipline.bundle.manifest import read_manifest
from skipline.bundle.weight_files import read_tensors
from skipline.data import Audio, Preprocessing, decode_sound
from skipline.data.archive import Archive
from skipline.data.decoding import decode
from skipline.data.listing import Container
from skipline.data.parquet import Table
from skipline.data.values.source import open_values
from skipline.errors import CorruptImageError, InputError
from skipline.models import create
from skipline.report.diagnosis import diagnosis_page
from skipline.report.diagnosis_record import read_diagnosis
from skipline.report.reading import read_run
from skipline.report.run import run_page
from skipline.report.study import study_page
from skipline.report.study_record import read_study
from skipline.training import Plan, Recipe, read_recipe
from skipline.training.checkpoint import load_checkpoint
from skipline.training.results import read_evaluation

TOKENS = (
    *(
        b"0",
        b"-1",
        b"1000000000",
        b"9223372036854775808",
        b"1e999",
        b"1e308",
        b"NaN",
        b"9" * 5000,
        b"0x" + b"f" * 5000,
    ),
    *(
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'"x"',
        b"[" * 3000,
        b'{"a":' * 3000,
        b'"',
        b"\\ud800",
        b"\n",
        b"]",
        b"}",
    ),
    *(b"\x00", b"\xff" * 8, b"\x00\x00\x00\x00\x00\x00\x00\x10", b"\x80\x00\x00\x00", b"\xed\xa0\x80"),
    *(b"../../escape.png", b"/etc/passwd", b"\x1b[2J", b"cat\ndog", b"PK\x05\x06", b"cos\nsystem\n"),
)
KINDS = ("flip", "overwrite", "truncate", "insert", "repeat", "remove", "number")
Edit = tuple[str, float, int, bytes]


def damaged(data: bytes, edits: list[Edit]) -> bytes:
    """A file with edits applied one after another.

    Args:
        data: a valid file.
        edits: of each the kind, the place as a fraction 0-1, a length in bytes, and a token.
    """
    for kind, place, length, token in edits:
        at = int(place * len(data))
        if kind == "flip" and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ 1 << length % 8]) + data[at + 1 :]
        elif kind == "overwrite":
            data = data[:at] + token + data[at + len(token) :]
        elif kind == "truncate":
            data = data[:at]
        elif kind == "insert":
            data = data[:at] + token + data[at:]
        elif kind == "repeat":
            data = data[: at + length] + data[at:]
        elif kind == "remove":
            data = data[:at] + data[at + length :]
        elif kind == "number":
            numbers = [*re.finditer(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?", data[:100_000])]
            if numbers:
                found = numbers[min(int(place * len(numbers)), len(numbers) - 1)]
                data = data[: found.start()] + token + data[found.end() :]
    return data


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        name: also the name of the file that it reads.
        seeds: valid files.
        parse: reads data as a file in a folder that it may write to.
        show: makes a page of what was read, which must not fail either, but takes longer than reading.
    """

    name: str
    seeds: Callable[[], tuple[bytes, ...]]
    parse: Callable[[bytes, Path], Any]
    show: Callable[[Any], object] | None = None


def picture(seed: int, mode: str = "RGB", side: int = 12) -> Image.Image:
    """A small image of noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """An image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@cache
def _tensors() -> dict[str, torch.Tensor]:
    return {"conv.weight": torch.arange(8.0).view(2, 4), "bn.num_batches_tracked": torch.tensor(3)}


@cache
def bundle_files() -> dict[str, bytes]:
    """The files of a bundle of the smallest network."""
    import tempfile

    network = create("quick-resnet8", classes=2, channels=1, seed=0)
    preprocessing = Preprocessing(channels=1, stored=8, side=8, mean=(0.5,), std=(0.2,))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        metrics = {"test": {"n": 4, "top1": 0.5, "top1_interval": [0.1, 0.9], "loss": 0.7}}
        save_bundle(folder, network, ("cat", "dog"), preprocessing, metrics, {"source": "digits", "seed": 0})
        return {file.name: file.read_bytes() for file in folder.iterdir()}


def _parse_manifest(data: bytes, folder: Path) -> object:
    weights = folder / "weights.safetensors"
    if not weights.exists():
        weights.write_bytes(bundle_files()["weights.safetensors"])
    (folder / "bundle.json").write_bytes(data)
    read_manifest(folder / "bundle.json")
    return load_bundle(folder)


def _parse_safetensors(data: bytes, folder: Path) -> object:
    (folder / "weights.safetensors").write_bytes(data)
    return read_tensors(folder / "weights.safetensors")


def _parse_weights(data: bytes, folder: Path) -> object:
    (folder / "weights.pt").write_bytes(data)
    return read_tensors(folder / "weights.pt")


def _saved(content: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def _weights() -> tuple[bytes, ...]:
    nested = {"epoch": 3, "state_dict": _tensors()}
    old = {"_use_new_zipfile_serialization": False}
    return _saved(_tensors()), _saved(nested), _saved(_tensors(), **old), _saved(nested, **old)


def _parse_checkpoint(data: bytes, folder: Path) -> object:
    (folder / "last.ckpt").write_bytes(data)
    return load_checkpoint(folder / "last.ckpt")


def _plan() -> Plan:
    return Plan("digits", "quick-resnet8", Recipe(), {"classes": 10, "channels": 1}, fingerprint="ab" * 32)


def _parse_recipe(data: bytes, folder: Path) -> object:
    (folder / "recipe.toml").write_bytes(data)
    return read_recipe(folder / "recipe.toml", ["optimizer.lr=0.1"])


def _parse_plan(data: bytes, folder: Path) -> object:
    (folder / "run.toml").write_bytes(data)
    return Plan.read(folder / "run.toml")


def _tars() -> tuple[bytes, ...]:
    found = []
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=kind) as tar:
            for number in range(4):
                content = encoded(picture(number), "PNG")
                long = "x" * 120 if number == 3 else ""  # takes an extended header
                member = tarfile.TarInfo(f"{('cat', 'dog')[number % 2]}/{long}{number}.png")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        found.append(file.getvalue())
    return tuple(found)


def _packed_tars() -> tuple[bytes, ...]:
    import bz2
    import gzip
    import lzma

    return tuple(pack(_tars()[0]) for pack in (gzip.compress, bz2.compress, lzma.compress))


def _parse_tar(data: bytes, folder: Path) -> object:
    file = folder / "photos.tar"
    file.write_bytes(data)
    return _read(Archive(file, file.name))


def _read(container: Container) -> list[str]:
    with closing(container):
        entries = container.listing().entries
        names = []
        for entry, content in zip(entries, container.contents(), strict=True):
            try:
                decode(content(), name=entry.name, channels=3, stored=8)
            except (CorruptImageError, OSError):  # of which a source leaves out the image
                continue
            names.append(entry.name)
    return names


def _tables() -> tuple[bytes, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [{"bytes": encoded(picture(i), "PNG"), "path": f"{i}.png"} for i in range(6)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    found = []
    for labels, compression in (([0, 1] * 3, "none"), (["cat", "dog"] * 3, "none"), ([0, 1] * 3, "snappy")):
        table = pa.table({"image": pa.array(images, kind), "label": labels})
        file = io.BytesIO()
        pq.write_table(
            table.replace_schema_metadata(metadata), file, row_group_size=3, compression=compression
        )
        found.append(file.getvalue())
    return tuple(found)


def _parse_table(data: bytes, folder: Path) -> object:
    file = folder / "photos.parquet"
    file.write_bytes(data)
    table = Table(file, file.name)
    list(table.sample(4))
    return _read(table)


def _arrays() -> tuple[bytes, ...]:
    found = []
    x = np.arange(24.0).reshape(6, 4)
    for save, values in ((np.savez, x), (np.savez_compressed, x.astype(np.float32)[:, None])):
        file = io.BytesIO()
        save(file, X=values, y=np.array(["cat", "dog"] * 3))
        found.append(file.getvalue())
    return tuple(found)


def _array() -> tuple[bytes, ...]:
    file = io.BytesIO()
    np.save(file, np.arange(48.0).reshape(6, 1, 2, 4))
    return (file.getvalue(),)


def _parse_values(name: str) -> Callable[[bytes, Path], object]:
    def parse(data: bytes, folder: Path) -> object:
        np.save(folder / "y.npy", np.arange(6) % 2)
        (folder / name).write_bytes(data)
        return open_values(folder / name, name)

    return parse


LINES = (b"cat,1,2,3\ndog,4,5,6\ncat,1,2,4\ndog,4,5,7\n", b"t0;t1;label\n1;2;0\n3;4;1\n1;2;0\n3;4;1\n")


def _images() -> tuple[bytes, ...]:
    return (
        encoded(picture(0), "PNG"),
        encoded(picture(1, "P"), "PNG", transparency=0),
        encoded(picture(2, "I;16"), "PNG"),
        encoded(picture(3), "JPEG"),
        encoded(picture(4, "CMYK"), "JPEG", progressive=True),
        encoded(picture(5, "P"), "GIF"),
        encoded(picture(6), "BMP"),
        encoded(picture(7), "TIFF"),
        encoded(picture(8), "TIFF", compression="tiff_lzw"),
        encoded(picture(9, "F"), "TIFF"),
        encoded(picture(10), "WEBP"),
        encoded(picture(11), "PPM"),
        encoded(picture(12), "TGA", compression="tga_rle"),
        encoded(picture(13), "JPEG2000"),
        encoded(picture(14), "JPEG", exif=_exif()),
    )


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _parse_image(data: bytes, folder: Path) -> object:
    for channels, stored in ((3, None), (1, 4), (4, 4)):
        decode(data, name="image", channels=channels, stored=stored)
    return None


@cache
def _sounds() -> tuple[bytes, ...]:
    """One of each format, of a tenth of a second."""
    import soundfile

    tone = 0.3 * np.sin(np.arange(800) / 5)
    found = []
    for form, subtype in (
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("AIFF", "PCM_24"),
    ):
        buffer = io.BytesIO()
        soundfile.write(buffer, np.stack((tone, tone), axis=1), 8_000, format=form, subtype=subtype)
        found.append(buffer.getvalue())
    return tuple(found)


def _parse_sound(data: bytes, folder: Path) -> object:
    return decode_sound(
        data, name="sound", audio=Audio(sample_rate=8_000, n_fft=256, window=256, hop=128, mels=16)
    )


def _parse_events(data: bytes, folder: Path) -> object:
    from skipline.diagnosis.targets import read_events

    (folder / "events.jsonl").write_bytes(data)
    read_events(folder)
    return read_run(folder)


def _parse_evaluation(data: bytes, folder: Path) -> object:
    (folder / "events.jsonl").write_bytes(fuzz_records.events())
    (folder / "evaluation.json").write_bytes(data)
    record = read_run(folder)
    with contextlib.suppress(InputError):
        read_evaluation(folder)
    return record


def _parse_study(data: bytes, folder: Path) -> object:
    (folder / "study.json").write_bytes(data)
    return read_study(folder)


def _parse_diagnosis(data: bytes, folder: Path) -> object:
    (folder / "diagnosis.json").write_bytes(data)
    return read_diagnosis(folder)


def _show_study(record: Any) -> object:
    return study_page(record, Path())


def _show_diagnosis(record: Any) -> object:
    return diagnosis_page(record, Path())


TARGETS = (
    Target("bundle.json", lambda: (bundle_files()["bundle.json"],), _parse_manifest),
    Target("weights.safetensors", lambda: (safetensors_bytes(_tensors()),), _parse_safetensors),
    Target("weights.pt", _weights, _parse_weights),
    Target(
        "last.ckpt", lambda: (_saved({"format": 2, "step": 2, "network": _tensors()}),), _parse_checkpoint
    ),
    Target("recipe.toml", lambda: (_plan().to_toml().encode(),), _parse_recipe),
    Target("run.toml", lambda: (_plan().to_toml().encode(),), _parse_plan),
    Target("photos.tar", _tars, _parse_tar),
    Target("photos.tar.gz", _packed_tars, _parse_tar),
    Target("photos.parquet", _tables, _parse_table),
    Target("values.npz", _arrays, _parse_values("values.npz")),
    Target("X.npy", _array, _parse_values("X.npy")),
    Target("values.csv", lambda: LINES, _parse_values("values.csv")),
    Target("image", _images, _parse_image),
    Target("sound", _sounds, _parse_sound),
    Target("events.jsonl", lambda: (fuzz_records.events(),), _parse_events, run_page),
    Target("evaluation.json", lambda: (fuzz_records.evaluation(),), _parse_evaluation, run_page),
    Target("study.json", lambda: (fuzz_records.study(),), _parse_study, _show_study),
    Target("diagnosis.json", lambda: (fuzz_records.diagnosis(),), _parse_diagnosis, _show_diagnosis),
)
