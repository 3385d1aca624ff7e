"""Fetching one file: several mirrors, resumed where it broke off, accepted only with the right checksum."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from skipline.data.home import storage_errors
from skipline.data.progress import Progress, silent
from skipline.errors import DownloadError

BLOCK = 2**18
SECONDS_WITHOUT_A_BYTE = 20.0


def fetch(urls: Sequence[str], target: Path, md5: str, progress: Progress = silent) -> None:
    """Download a file unless it is there.

    What arrives is kept in `<target>.part` until it is whole, so that the next attempt, from whichever mirror, goes on
    there.

    Args:
        urls: mirrors of the same file, tried in order.
        target: where the file shall lie; its folder exists.
        md5: checksum in hexadecimal.
        progress: told about bytes.

    Raises:
        DownloadError: no mirror gave the file; the message holds each one's reason.
        StorageError: the folder cannot be written.
    """
    if target.is_file() and has_md5(target, md5):
        return
    part = target.with_name(target.name + ".part")
    failures = []
    for url in urls:
        host = url.split("/")[2]
        try:
            _append(url, part, progress)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            failures.append(f"{host}: {' '.join(str(reason).split())}")
            continue
        if has_md5(part, md5):
            with storage_errors(target.parent):
                part.replace(target)
            return
        part.unlink()
        failures.append(f"{host}: what arrived has another checksum")
    raise DownloadError("; ".join(failures))


def has_md5(path: Path, md5: str) -> bool:
    """Whether a file has a checksum."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest() == md5


def _append(url: str, part: Path, progress: Progress) -> None:
    """Fetch what is missing of a file."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    what = f"downloading {part.name.removesuffix('.part')}"
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_WITHOUT_A_BYTE) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:  # the mirror cannot go on in the middle
                have = 0
            total = have + int(answer.headers.get("Content-Length") or 0)
            with storage_errors(part.parent), part.open("ab" if have else "wb") as file:
                while block := answer.read(BLOCK):
                    file.write(block)
                    have += len(block)
                    progress(what, have, max(total, have + 1))
            if have < total:
                raise OSError(f"the connection broke off after {have:,} of {total:,} bytes")
            progress(what, have, have)
    except urllib.error.HTTPError as error:
        with error:
            if (
                error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            ):  # that one: everything is there already
                raise OSError(f"{error.code} {error.reason}") from error
