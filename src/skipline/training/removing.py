"""Deleting a run, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from skipline.errors import InputError


def remove_run(folder: Path) -> None:
    """Delete an earlier run so that its folder can be used again; nothing that is not a run is touched.

    Raises:
        InputError: the folder holds something else.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "recipe.toml").exists() or not (folder / "events.jsonl").exists():
        raise InputError(f"'{folder}' is not empty and not a run: --overwrite deletes only runs")
    shutil.rmtree(folder)
