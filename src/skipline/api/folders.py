"""Where a run or a diagnosis goes when the user names no folder."""

from __future__ import annotations

from pathlib import Path

from skipline.data.values.files import SUFFIXES as VALUES


def free_run_folder(source: str | Path) -> Path:
    """The next runs/NAME-N that does not exist yet, NAME being the source's."""
    path = Path(source)
    return free_folder(
        path.stem if path.suffix in (".tar", ".gz", ".tgz", ".parquet", *VALUES) else path.resolve().name
    )


def short_name(target: str) -> str:
    """What a folder can be called after a target: mynet-build for src/mynet.py:build."""
    return (
        "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(target).name.replace(".py", ""))
        or "network"
    )


def free_folder(name: str) -> Path:
    """The next runs/NAME-N that does not exist yet."""
    number = 1
    while (folder := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return folder
