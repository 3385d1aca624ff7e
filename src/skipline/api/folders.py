"""Where a run or a diagnosis goes when the user names no folder."""

from __future__ import annotations

from pathlib import Path

from skipline.data.shards.finding import name_of
from skipline.data.shards.naming import is_pattern, is_url
from skipline.data.values.files import SUFFIXES as VALUES
from skipline.training.distributed import group
from skipline.training.session import of_this_job


def free_run_folder(source: str | Path) -> Path:
    """The next runs/NAME-N that does not exist yet, NAME being the source's."""
    if is_url(source) or is_pattern(source):
        return free_folder(name_of(source))
    path = Path(source)
    return free_folder(
        path.stem if path.suffix in (".tar", ".gz", ".tgz", ".parquet", *VALUES) else path.resolve().name
    )


def run_folder(source: str | Path) -> Path:
    """Where a run goes when the user names no folder."""
    return job_folder(free_run_folder(source))


def job_folder(free: Path) -> Path:
    """Where a run goes, the same for all processes that train together.

    A process that takes the place of one that died finds the run that its job has begun.

    Args:
        free: runs/NAME-N, where it goes if its job has begun none.
    """

    def chosen() -> str:
        name = free.name.rpartition("-")[0]
        for path in sorted(Path("runs").glob(f"{name}-*/recipe.toml")) if group().job else ():
            if of_this_job(path.parent):
                return str(path.parent)
        return str(free)

    return Path(group().decided(chosen))


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
