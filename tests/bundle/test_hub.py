from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundle_examples import CLASSES
from hub_stand_in import TOKEN, StandIn, serving

from skipline.bundle import Bundle, load_bundle
from skipline.bundle.hub import LIMITS, pull_bundle, push_bundle
from skipline.errors import HubError, InputError, MissingExtraError, WeightsError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its HTTP client


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's token or cache, or reaches the network."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "hf" / "stored"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with serving() as started:
        monkeypatch.setenv("HF_ENDPOINT", started.url)
        yield started


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.mark.usefixtures("login")
def test_a_pushed_bundle_comes_back_the_same(folder: Path, hub: StandIn, tmp_path: Path) -> None:
    pushed = push_bundle(folder, "ada/pets")
    assert pushed.url == f"{hub.url}/ada/pets"
    assert pushed.commit == hub.sha("ada/pets")
    assert hub.summaries == ["resnet20, by skipline"]
    assert sorted(hub.repositories["ada/pets"]) == ["README.md", "bundle.json", "weights.safetensors"]
    pulled = pull_bundle("ada/pets", tmp_path / "here" / "pets")
    assert pulled == tmp_path / "here" / "pets"
    assert [*(tmp_path / "here").iterdir()] == [pulled]
    assert {file.name: file.read_bytes() for file in pulled.iterdir()} == {
        file.name: file.read_bytes() for file in folder.iterdir()
    }
    assert load_bundle(pulled).classes == CLASSES


@pytest.mark.usefixtures("login")
def test_a_second_push_is_a_second_commit(folder: Path, hub: StandIn) -> None:
    push_bundle(folder.parent, "ada/pets")  # the run folder stands for its bundle
    file = folder / "bundle.json"
    values = json.loads(file.read_text())
    values["provenance"]["seed"] = 2
    file.write_text(json.dumps(values))
    push_bundle(folder, "ada/pets")
    assert json.loads(hub.repositories["ada/pets"]["bundle.json"])["provenance"]["seed"] == 2
    assert len(hub.summaries) == 2


@pytest.mark.usefixtures("login")
def test_a_private_repository_needs_the_token(
    folder: Path, hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_bundle(folder, "ada/secret", private=True)
    assert hub.private == {"ada/secret"}
    pull_bundle("ada/secret", tmp_path / "mine")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match=r"there is no such model on .*, or it is not for your eyes"):
        pull_bundle("ada/secret", tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


@pytest.mark.usefixtures("login")
def test_a_licence_stated_on_the_hub_is_kept(folder: Path, hub: StandIn) -> None:
    push_bundle(folder, "ada/pets")
    card = hub.repositories["ada/pets"]["README.md"].decode()
    there = card.replace("# license: yours to choose, such as mit or cc-by-4.0", "license: apache-2.0")
    assert there != card
    hub.repositories["ada/pets"]["README.md"] = there.encode()
    push_bundle(folder, "ada/pets")
    assert hub.repositories["ada/pets"]["README.md"].decode().startswith("---\nlicense: apache-2.0\n")


@pytest.mark.usefixtures("login")
def test_a_bundle_without_a_card_gets_one(folder: Path, hub: StandIn) -> None:
    (folder / "README.md").unlink()
    push_bundle(folder, "ada/pets")
    assert b"library_name: skipline" in hub.repositories["ada/pets"]["README.md"]
    assert not (folder / "README.md").exists()


def test_nobody_is_logged_in(folder: Path, hub: StandIn) -> None:
    with pytest.raises(InputError, match=r"nobody is logged in to .*`hf auth login`, or set HF_TOKEN"):
        push_bundle(folder, "ada/pets")
    assert hub.repositories == {}


def test_a_token_that_is_not_accepted(folder: Path, hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match=r"answered 401: .*The token is not accepted"):
        push_bundle(folder, "ada/pets")


@pytest.mark.usefixtures("login")
def test_a_refused_push_leaves_the_hub_as_it_was(folder: Path, hub: StandIn) -> None:
    hub.refuse[r"POST .*/commit/main"] = 403
    with pytest.raises(HubError, match=r"answered 403: .*Your token may not do this"):
        push_bundle(folder, "ada/pets")
    assert hub.repositories["ada/pets"] == {}


@pytest.mark.usefixtures("login")
def test_a_damaged_bundle_is_not_pushed(folder: Path, hub: StandIn) -> None:
    (folder / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(WeightsError):
        push_bundle(folder, "ada/pets")
    assert hub.seen == []


@pytest.mark.parametrize(
    "name",
    ["pets", "ada/", "/pets", "ada/pets/x", "../pets", "ada/..", "ada/pets\n", "https://x/ada/pets", ""],
)
def test_names_that_are_none(name: str, folder: Path, tmp_path: Path) -> None:
    for call in (lambda: push_bundle(folder, name), lambda: pull_bundle(name, tmp_path / "x")):
        with pytest.raises(InputError, match=r"expected USER/REPO, such as ada/resnet20-digits, got"):
            call()


def test_there_is_no_such_repository_or_revision(hub: StandIn, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such model"):
        pull_bundle("ada/nothing", tmp_path / "x")
    hub.repositories["ada/pets"] = {}
    with pytest.raises(InputError, match="it has no such revision"):
        pull_bundle("ada/pets", tmp_path / "x", revision="v2")


def test_a_repository_of_something_else(hub: StandIn, tmp_path: Path) -> None:
    hub.repositories["ada/bert"] = {"config.json": b"{}", "\x1b[2J.bin": b""}
    with pytest.raises(InputError) as caught:
        pull_bundle("ada/bert", tmp_path / "x")
    assert str(caught.value) == (
        "'ada/bert' is no bundle of skipline: it has no bundle.json and no weights.safetensors, but "
        "'\\x1b[2J.bin', 'config.json'. For weights alone use --weights hub:ada/bert"
    )


@pytest.mark.parametrize("name", ["bundle.json", "weights.safetensors"])
def test_a_damaged_bundle_is_not_put_in_place(name: str, folder: Path, hub: StandIn, tmp_path: Path) -> None:
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    hub.repositories["ada/pets"] = {**files, name: files[name][:200]}
    with pytest.raises(WeightsError, match=rf"'ada/pets' holds no usable bundle, nothing was kept: .*{name}"):
        pull_bundle("ada/pets", tmp_path / "out" / "pets")
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_file_that_is_too_large_is_not_fetched(
    folder: Path, hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["ada/pets"] = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setitem(LIMITS, "weights.safetensors", 1000)
    with pytest.raises(WeightsError, match=r"has [\d,]+ bytes; that of a bundle has at most 1,000"):
        pull_bundle("ada/pets", tmp_path / "x")
    assert not any("resolve" in request for request in hub.seen)


def test_nothing_but_the_files_of_a_bundle_is_fetched(folder: Path, hub: StandIn, tmp_path: Path) -> None:
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    hub.repositories["ada/pets"] = {**files, "evil.py": b"1", "../up.txt": b"2", "pytorch_model.bin": b"3"}
    pulled = pull_bundle("ada/pets", tmp_path / "pets")
    assert sorted(file.name for file in pulled.iterdir()) == sorted(files)
    assert {request.rpartition("/")[2] for request in hub.seen if "resolve" in request} == set(files)


def test_what_is_there_is_not_replaced_unasked(
    folder: Path, hub: StandIn, tmp_path: Path, bundle: Bundle
) -> None:
    hub.repositories["ada/pets"] = {file.name: file.read_bytes() for file in folder.iterdir()}
    pulled = pull_bundle("ada/pets", tmp_path / "pets")
    (pulled / "mine.onnx").write_text("an export")
    with pytest.raises(InputError, match="exists already: choose another --out, or --overwrite"):
        pull_bundle("ada/pets", pulled)
    pull_bundle("ada/pets", pulled, overwrite=True)
    assert (pulled / "mine.onnx").read_text() == "an export"
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").touch()
    with pytest.raises(InputError, match=r"but it holds other things and no bundle\.json"):
        pull_bundle("ada/pets", photos, overwrite=True)
    assert [file.name for file in photos.iterdir()] == ["a.jpg"]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.usefixtures("login")
def test_no_network_is_told_in_one_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    for call in (lambda: push_bundle(folder, "ada/pets"), lambda: pull_bundle("ada/pets", tmp_path / "x")):
        with pytest.raises(HubError, match=r"no connection to http://127\.0\.0\.1:\d+ .*travels as a folder"):
            call()
    assert not (tmp_path / "x").exists()


def test_without_the_library_the_extra_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"needs huggingface_hub.*pip install 'skipline\[hub\]'"):
        pull_bundle("ada/pets", tmp_path / "x")


def test_from_the_command_line(folder: Path, hub: StandIn, tmp_path: Path) -> None:
    settings = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "skipline", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=120
        )

    pushed = run("push", str(folder), "ada/pets", "--json")
    assert pushed.returncode == 0, pushed.stderr
    assert json.loads(pushed.stdout) == {"url": f"{hub.url}/ada/pets", "commit": hub.sha("ada/pets")}
    pulled = run("pull", "ada/pets")
    assert (pulled.returncode, pulled.stdout) == (0, f"bundle       {tmp_path / 'pets'}\n"), pulled.stderr
    again = run("pull", "ada/pets")
    assert again.returncode == 2
    assert again.stderr.startswith(f"skipline: '{tmp_path / 'pets'}' exists already")
