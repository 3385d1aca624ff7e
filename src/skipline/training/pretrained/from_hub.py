"""Weights from the Hugging Face hub: timm's repositories and bundles of skipline, kept in the hub's own cache."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from skipline.bundle.saving import MANIFEST, WEIGHTS
from skipline.errors import DownloadError, InputError, MissingExtraError, WeightsError
from skipline.storage import skipline_home
from skipline.training.pretrained.local import TIMM_FILES, bundled_weights, local_weights, timm_weights
from skipline.training.pretrained.network import knock
from skipline.training.pretrained.pretrained import Pretrained
from skipline.training.pretrained.timm_config import CONFIG, read_timm_config

# The last part of a path must not begin with a dot: what is brought by hand lies in a folder of this name.
REPOSITORY = re.compile(r"(?:[A-Za-z0-9_-][\w.-]*/)?[A-Za-z0-9_-][\w.-]*")
EXAMPLE = "hub:timm/resnet50.a1_in1k"


def from_hub(wanted: str, model: str | None) -> Pretrained:
    """Weights from a repository of the hub.

    A repository that somebody brought by hand, in the folder `hub/OWNER/NAME` of `SKIPLINE_HOME`, comes first; then
    the hub, or its cache where the hub cannot be reached. config.json is read before the weights are fetched, so that
    another network's are not fetched in vain.

    Args:
        wanted: "OWNER/NAME", with "@REVISION" where it is not to be main: a branch, a tag or a commit.
        model: catalogue name of the network to fill; None lets the weights tell.

    Raises:
        InputError: no such repository, or none of the files that it should hold.
        WeightsError: weights of a network that the catalogue lacks.
        DownloadError: no network; says which files to bring and where to put them.
        MissingExtraError: huggingface_hub is not installed.
    """
    name, _, revision = wanted.partition("@")
    if not REPOSITORY.fullmatch(name) or ".." in name:
        raise InputError(f"'hub:{wanted}' is no name of a repository: expected OWNER/NAME, such as {EXAMPLE}")
    place = skipline_home() / "hub" / name
    if (brought := local_weights(place, model)) is not None:
        return replace(brought, name=f"hub:{wanted}")
    repository = _Repository(name, revision or None, place)
    config = repository.fetch(CONFIG)
    known = read_timm_config(config) if config is not None else None
    if known is not None:
        known.model()
    elif (manifest := repository.fetch(MANIFEST)) is not None:
        repository.need(WEIGHTS)
        return bundled_weights(manifest.parent, repository.pinned)
    file = next((found for name in TIMM_FILES if (found := repository.fetch(name)) is not None), None)
    if file is None:
        raise InputError(
            f"the repository '{name}' holds none of {', '.join(TIMM_FILES)}, and is no bundle of skipline either "
            f"({MANIFEST}): expected one such as {EXAMPLE}"
        )
    return timm_weights(file, repository.pinned, model)


class _Repository:
    """Files of one repository.

    Args:
        name: OWNER/NAME.
        revision: branch, tag or commit; None for main.
        place: where somebody without network should put the files.
    """

    def __init__(self, name: str, revision: str | None, place: Path) -> None:
        self._name, self._revision, self._place = name, revision, place
        self._hub = _huggingface_hub(f"'hub:{name}'")
        self._closed: OSError | None = None
        try:
            knock(self._hub.constants.ENDPOINT)
        except OSError as error:
            self._closed = error

    def fetch(self, file: str) -> Path | None:
        """The path of a file in the cache, None where the repository has no such file."""
        errors = self._hub.errors
        try:
            path = self._hub.hf_hub_download(
                self._name, file, revision=self._revision, local_files_only=self._closed is not None
            )
        except errors.LocalEntryNotFoundError as error:  # before its parent class: here it means no answer
            if self._known_to_lack(file) or _says_not_found(error.__cause__):
                return None
            raise self._unreachable(self._closed or error.__cause__ or error) from error
        except errors.EntryNotFoundError:
            return None
        except errors.RevisionNotFoundError as error:
            raise InputError(
                f"the repository '{self._name}' has no revision '{self._revision}': expected a branch, tag or commit"
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise InputError(
                f"there is no repository '{self._name}' on the hub, or it is not public: expected one such as "
                f"{EXAMPLE}; for a private one log in first (hf auth login)"
            ) from error
        except errors.HFValidationError as error:
            raise InputError(f"'hub:{self._name}' is no name of a repository: {error}") from error
        except Exception as error:  # whatever its HTTP library raises of a broken connection or a full disk
            if _says_not_found(error):
                return None
            raise self._unreachable(error) from error
        found = Path(path)
        if found.parent.parent.name == "snapshots":
            self._revision = found.parent.name  # whatever is pushed meanwhile, all files are of one commit
        return found

    def _known_to_lack(self, file: str) -> bool:
        """Whether an earlier call was told that there is no such file, which the cache remembers."""
        cached = self._hub.try_to_load_from_cache(self._name, file, revision=self._revision)
        return cached is self._hub._CACHED_NO_EXIST

    def need(self, file: str) -> Path:
        """The path of a file in the cache.

        Raises:
            WeightsError: the repository has no such file.
        """
        path = self.fetch(file)
        if path is None:
            raise WeightsError(f"the repository '{self._name}' has no {file}: its bundle is not whole")
        return path

    @property
    def pinned(self) -> str:
        """The name under which exactly the files that were fetched are found again: with their commit."""
        return f"hub:{self._name}" + (f"@{self._revision}" if self._revision else "")

    def _unreachable(self, error: BaseException) -> DownloadError:
        endpoint = self._hub.constants.ENDPOINT
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return DownloadError(
            f"could not fetch 'hub:{self._name}' from {endpoint} ({reason}). Bring the files: {TIMM_FILES[0]} and "
            f"{CONFIG} (of a bundle: {WEIGHTS} and {MANIFEST}) from {endpoint}/{self._name}, and put them into "
            f"{self._place}, or into any folder and name that: --weights FOLDER"
        )


def _says_not_found(error: BaseException | None) -> bool:
    """Whether a server answered with 404 and not, as the hub does, with what exactly is missing."""
    return getattr(getattr(error, "response", None), "status_code", None) == 404


def _huggingface_hub(purpose: str) -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub", purpose) from error
    return huggingface_hub
