"""Bundles on the Hugging Face Hub: a repository holds the three files of a bundle and nothing else is fetched.

The token is found by `huggingface_hub` itself (`hf auth login`, or HF_TOKEN); this file never sees it.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipline.bundle.bundle import Bundle
from skipline.bundle.card import CARD, LARGEST_CARD, license_of, model_card, with_license
from skipline.bundle.loading import find_bundle, load_bundle
from skipline.bundle.manifest import LARGEST_FILE
from skipline.bundle.saving import MANIFEST, WEIGHTS, replacing
from skipline.data import Progress, silent
from skipline.errors import HubError, InputError, MissingExtraError, WeightsError, shown

if TYPE_CHECKING:
    from huggingface_hub import HfApi

DEFAULT_ENDPOINT = "https://huggingface.co"
LARGEST_WEIGHTS = 8 * 2**30  # bytes; the largest network of the catalogue has 0.6 GB
SECONDS = 15.0  # until a server that does not answer is given up
LIMITS = {MANIFEST: LARGEST_FILE, WEIGHTS: LARGEST_WEIGHTS, CARD: LARGEST_CARD}


@dataclass(frozen=True)
class Pushed:
    """What lies on the Hub now.

    Attributes:
        url: the page of the repository.
        commit: its state after the push.
    """

    url: str
    commit: str


def push_bundle(
    bundle: Path | str, repository: str, *, private: bool = False, progress: Progress = silent
) -> Pushed:
    """Upload a bundle with its model card as one commit.

    Args:
        bundle: a bundle or run folder; it is read and checked first.
        repository: "USER/REPO"; made where it does not exist.
        private: a repository that is made is visible to you alone.
        progress: told before and after the upload.

    Returns:
        Where it lies. A licence that the Hub's card states is kept, where the bundle's own states none.

    Raises:
        InputError: no bundle, an impossible name, or nobody is logged in.
        WeightsError: the bundle is damaged.
        HubError: the Hub cannot be reached, or refuses.
        MissingExtraError: huggingface_hub is not installed.
    """
    _check_name(repository)
    folder = find_bundle(Path(bundle))
    loaded = load_bundle(folder)
    api = _api("pushing a bundle")
    from huggingface_hub import CommitOperationAdd

    with _told(f"push to '{repository}'", repository):
        api.whoami()
        url = str(api.create_repo(repository, private=private or None, exist_ok=True))
        card = _card(folder, loaded, _licence_there(api, repository))
        additions = [
            CommitOperationAdd(CARD, card.encode()),
            CommitOperationAdd(MANIFEST, folder / MANIFEST),
            CommitOperationAdd(WEIGHTS, folder / WEIGHTS),
        ]
        progress(f"push {repository}", 0, 1)
        commit = api.create_commit(repository, additions, commit_message=f"{loaded.name}, by skipline")
        progress(f"push {repository}", 1, 1)
    return Pushed(url, str(commit.oid))


def pull_bundle(
    repository: str,
    out: Path | str | None = None,
    *,
    revision: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Fetch a bundle from the Hub, check it, and only then put it in place.

    Args:
        repository: "USER/REPO".
        out: the folder to make; None takes ./REPO.
        revision: branch, tag or commit; None takes the newest.
        overwrite: replace a bundle that is in `out`.
        progress: told of each file.

    Returns:
        The bundle's folder.

    Raises:
        InputError: an impossible name, no such repository, `out` is taken, or there is no bundle in it.
        WeightsError: the bundle is damaged or not what it says; nothing was put in place.
        HubError: the Hub cannot be reached, or refuses.
        StorageError: the disk is full or not writable.
        MissingExtraError: huggingface_hub is not installed.
    """
    folder = Path(out if out is not None else _check_name(repository)).absolute()
    _check_name(repository)
    if folder.exists() and not overwrite and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"'{folder}' exists already: choose another --out, or --overwrite the bundle in it")
    api = _api("pulling a bundle")
    with _told(f"pull '{repository}'", repository):
        about = api.model_info(repository, revision=revision, timeout=SECONDS, files_metadata=True)
    names = _wanted(about, repository)
    with replacing(folder) as temporary:
        with tempfile.TemporaryDirectory(dir=temporary, prefix=".fetched-") as fetched:
            for number, name in enumerate(names):
                progress(f"pull {repository}", number, len(names))
                with _told(f"pull '{repository}'", repository):
                    file = Path(api.hf_hub_download(repository, name, revision=about.sha, local_dir=fetched))
                if file.stat().st_size > LIMITS[name]:
                    raise WeightsError(
                        f"{name} of '{repository}' is larger than a bundle's: nothing was kept"
                    )
                file.replace(temporary / name)
            progress(f"pull {repository}", len(names), len(names))
        try:
            load_bundle(temporary)
        except InputError as error:
            reason = str(error).replace(f"{temporary}{os.sep}", "")
            raise WeightsError(
                f"'{repository}' holds no usable bundle, nothing was kept: {reason}"
            ) from error
    return folder


def _wanted(about: Any, repository: str) -> list[str]:
    """The files of a bundle that a repository has, after a look at their sizes."""
    sizes = {sibling.rfilename: sibling.size for sibling in about.siblings or ()}
    missing = [name for name in (MANIFEST, WEIGHTS) if name not in sizes]
    if missing:
        held = ", ".join(shown(name, 60) for name in sorted(sizes)[:5]) or "nothing"
        raise InputError(
            f"'{repository}' is no bundle of skipline: it has no {' and no '.join(missing)}, but {held}. "
            f"For weights alone use --weights hub:{repository}"
        )
    for name, limit in LIMITS.items():
        if (sizes.get(name) or 0) > limit:
            raise WeightsError(
                f"{name} of '{repository}' has {sizes[name]:,} bytes; that of a bundle has at most {limit:,}"
            )
    return [name for name in LIMITS if name in sizes]


def _card(folder: Path, bundle: Bundle, licence: list[str]) -> str:
    """The bundle's own card, or a new one for a bundle from before there were cards."""
    try:
        card = (folder / CARD).read_text(encoding="utf-8")[:LARGEST_CARD]
    except (OSError, ValueError):
        parameters = sum(parameter.numel() for parameter in bundle.network.parameters())
        card = model_card(
            bundle.name, parameters, bundle.classes, bundle.preprocessing, bundle.metrics, bundle.provenance
        )
    return card if license_of(folder / CARD) else with_license(card, licence)


def _licence_there(api: HfApi, repository: str) -> list[str]:
    """What the card on the Hub says about the licence; somebody may have stated it there."""
    from huggingface_hub.errors import EntryNotFoundError

    with tempfile.TemporaryDirectory() as fetched:
        try:
            return license_of(Path(api.hf_hub_download(repository, CARD, local_dir=fetched)))
        except EntryNotFoundError:
            return []


def _check_name(repository: str) -> str:
    """The second half of USER/REPO.

    Raises:
        InputError: it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", repository, re.ASCII):
        raise InputError(f"expected USER/REPO, such as ada/resnet20-digits, got {shown(repository)}")
    return repository.partition("/")[2]


def _api(purpose: str) -> HfApi:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub", purpose) from error
    return HfApi(endpoint=_endpoint(), library_name="skipline")


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", DEFAULT_ENDPOINT).rstrip("/")


@contextmanager
def _told(what: str, repository: str) -> Iterator[None]:
    """Turn what goes wrong on the way to the Hub into sentences, and keep the library's own bars off the screen."""
    from huggingface_hub import errors
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    disabled = are_progress_bars_disabled()
    disable_progress_bars()
    place = _endpoint()
    login = "log in with `hf auth login`, or set HF_TOKEN"
    try:
        yield
    except errors.LocalTokenNotFoundError as error:
        raise InputError(f"cannot {what}: nobody is logged in to {place}. Please {login}") from error
    except errors.GatedRepoError as error:
        raise HubError(
            f"cannot {what}: its owner grants access on request. Ask for it at {place}/{repository}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"cannot {what}: it has no such revision. See {place}/{repository}/commits"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"cannot {what}: there is no such model on {place}, or it is not for your eyes. Check the name, or {login}"
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        remedy = {
            401: f"The token is not accepted: {login}",
            403: "Your token may not do this: take one that may",
        }
        raise HubError(
            f"cannot {what}: {place} answered {status}: {shown(str(error).splitlines()[0])}. "
            f"{remedy.get(status or 0, 'Try again later')}"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise HubError(f"cannot {what}: HF_HUB_OFFLINE is set. Unset it") from error
    except Exception as error:
        reason = shown(str(error) or type(error).__name__, 600)
        if _is_of_the_network(error):
            raise HubError(
                f"cannot {what}: no connection to {place} ({reason}). Check the network; without one a bundle "
                f"travels as a folder: {', '.join(LIMITS)}"
            ) from error
        if isinstance(error, ValueError):  # a name or a card that the Hub does not take
            raise InputError(f"cannot {what}: {reason}") from error
        if isinstance(error, RuntimeError | errors.FileMetadataError):
            raise HubError(f"cannot {what}: {place} answered strangely: {reason}") from error
        raise  # such as a full disk
    finally:
        if not disabled:
            enable_progress_bars()


def _is_of_the_network(error: BaseException) -> bool:
    """Whether an exception, or one behind it, is of the library's HTTP client, whichever that is, or of a socket."""
    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__module__.split(".")[0] in (
            "httpx",
            "httpx2",
            "httpcore",
            "httpcore2",
            "requests",
            "urllib3",
        ):
            return True
        if isinstance(seen, ConnectionError | TimeoutError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
