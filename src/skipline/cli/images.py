"""Images, sounds or files of values that are named on the command line or on standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skipline.cli.console import log
from skipline.cli.names import printable
from skipline.errors import SourceError

if TYPE_CHECKING:
    from skipline.data.kinds import Kind

STDIN = "-"
# First bytes of JPEG, PNG, GIF, WebP (and WAV) and TIFF files, of FLAC and OGG; no list of file names begins so.
HEADS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"fLaC", b"OggS")


def collect(arguments: Sequence[str], kind: Kind) -> list[Path | bytes]:
    """Every image that was named, in order; folders and standard input replaced by what they hold.

    Args:
        arguments: as they stand on the command line.
        kind: what the network classifies; of values, folders are not looked into.

    Raises:
        SourceError: none of them exists.
    """
    from skipline.data import image_files, sound_files
    from skipline.data.kinds import IMAGES, SOUNDS

    below = {IMAGES: image_files, SOUNDS: sound_files}
    images: list[Path | bytes] = []
    found = False
    for argument in arguments:
        if argument == STDIN:
            given = _from_stdin()
        elif kind in below and Path(argument).is_dir():
            given = list(below[kind]([Path(argument)]))
            if not given:
                log(f"no {kind.many} in the folder {printable(argument)}")
        else:
            given = [Path(argument)]
        found = found or any(isinstance(image, bytes) or image.exists() for image in given)
        images.extend(given)
    if not found:
        named = ", ".join(f"'{printable(argument)}'" for argument in arguments[:3])
        more = f" and {len(arguments) - 3} more" if len(arguments) > 3 else ""
        expected = (
            f"{kind.one} files, a folder of them" if kind in below else f"a file such as {kind.example}"
        )
        raise SourceError(f"found no {kind.many} at {named}{more}. Expected {expected}, or - for names")
    return images


def _from_stdin() -> list[Path | bytes]:
    """File names, one a line or separated by NUL as `find -print0` does; or one image."""
    content = sys.stdin.buffer.read()
    if content.startswith(HEADS):
        return [content]
    lines = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]
