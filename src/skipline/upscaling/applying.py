"""Files in, larger files out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skipline.data import Progress, image_files, silent
from skipline.errors import CorruptImageError, InputError
from skipline.storage import storage_error
from skipline.upscaling.bundle import Upscaler
from skipline.upscaling.enlarging import enlarge_picture
from skipline.upscaling.picture import FORMATS, check_target, read_picture, write_picture

DEFAULT = ".png"


@dataclass(frozen=True)
class Applied:
    """One file.

    Attributes:
        file: that was read.
        out: that was written; None with an error.
        size: its width and height.
        error: why there is none, in one sentence.
        notes: sentences on what the file held and the picture does not.
    """

    file: str
    out: Path | None = None
    size: tuple[int, int] = (0, 0)
    error: str | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        return {
            "file": self.file,
            "out": str(self.out),
            "width": self.size[0],
            "height": self.size[1],
            "notes": list(self.notes),
        }


def apply_to_files(
    upscaler: Upscaler,
    images: Sequence[Path],
    out: Path,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[Applied]:
    """Enlarge files; one that cannot be read or written is noted, and the rest go on.

    Colour profiles are kept; EXIF orientation is applied. Grey stays grey, and what is transparent stays so.

    Args:
        upscaler: what enlarges.
        images: files, and folders that are searched at any depth.
        out: a file with the suffix of an image where there is one image, which is no folder; else a folder, in which
            images keep their names and the folders that they lay in.
        overwrite: replace earlier files. An image is never replaced by its own enlargement.
        progress: told about images, and about tiles of large ones.

    Raises:
        SourceError: an image does not exist.
        InputError: `out` is a folder where a file is meant, or the other way round, or files are there already.
    """
    plan = _planned(images, out)
    if not plan:
        raise InputError(
            f"no images in {', '.join(map(str, images))}: expected at least one file such as photo.jpg"
        )
    taken = [target for _, target in plan if target.exists()]
    if taken and not overwrite:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise InputError(f"'{taken[0]}'{more} is there already: choose another --out, or give --overwrite")
    results = []
    for number, (file, target) in enumerate(plan):
        progress("enlarging", number, len(plan))
        try:
            results.append(_apply(upscaler, file, target, progress))
        except (CorruptImageError, InputError) as error:
            results.append(Applied(str(file), error=str(error).removeprefix(f"{file}: ")))
    progress("enlarging", len(plan), len(plan))
    return results


def _planned(images: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each image with the file that it becomes."""
    alone = len(images) == 1 and not images[0].is_dir()
    if out.suffix.lower() in FORMATS and not out.is_dir():
        if not alone:
            raise InputError(
                f"'{out}' is one file, but there are several images: expected a folder for --out"
            )
        return [(image_files(images)[0], out)]
    if out.suffix and not out.is_dir() and alone:
        raise InputError(
            f"'{out.suffix}' is no kind of image that can be written: expected {', '.join(FORMATS)}, or a folder"
        )
    if out.exists() and not out.is_dir():
        raise InputError(f"expected a folder for --out, but '{out}' is a file")
    plan: dict[Path, Path] = {}
    for given in images:
        for file in image_files([given]):
            relative = file.relative_to(given) if given.is_dir() else Path(file.name)
            suffix = file.suffix if file.suffix.lower() in FORMATS else DEFAULT
            target = out / relative.with_suffix(suffix)
            if target in plan.values():
                target = out / relative.with_name(f"{file.stem}-{file.suffix[1:]}{suffix}")
            plan.setdefault(file, target)
    return list(plan.items())


def _apply(upscaler: Upscaler, file: Path, target: Path, progress: Progress) -> Applied:
    if target.exists() and target.samefile(file):
        raise InputError("it would be replaced by its own enlargement: choose another --out")
    picture = read_picture(file)
    height, width = (upscaler.scale * side for side in picture.pixels.shape[:2])
    check_target(target, height, width, transparent=picture.alpha is not None)
    large = enlarge_picture(upscaler.network, picture, progress=progress)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(target, error) from error
    write_picture(large, target)
    return Applied(str(file), target, (width, height), notes=large.notes)
