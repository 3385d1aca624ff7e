"""`skipline serve`: mistakes are told in one line before anything is served."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from skipline import serving
from skipline.cli import app
from skipline.serving import Limits


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKIPLINE_TOKEN", raising=False)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["skipline", "serve", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    return int(stopped.value.code or 0)


def test_a_taken_port(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bundle: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(monkeypatch, bundle, "--port", port) == 2
    assert capsys.readouterr().err == (
        f"skipline: cannot listen on 127.0.0.1 port {port}: address already in use. Expected an address of this "
        "machine and a port that is free: choose others with --host and --port (0 takes any free port)\n"
    )


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (["--port", "70000"], "expected a port of 0 to 65535, arrived 70000"),
        (["--host", "192.0.2.1", "--token-file", "TOKEN"], "cannot listen on 192.0.2.1 port 8000: "),
        (
            ["--host", "no.such.host.invalid", "--token-file", "TOKEN"],
            "cannot listen on no.such.host.invalid port 8000: ",
        ),
        (["--workers", "0"], "expected at least 1 worker, arrived 0"),
        (["--max-files", "0"], "the limit files is 0: expected more than 0"),
        (["--max-pixels", "500"], "the limit pixels is 500,000,000: expected at most 178,956,970"),
        (["--timeout", "nan"], "the limit seconds is nan: expected more than 0"),
        (["--token-file", "gone"], "cannot read the token from 'gone': No such file or directory."),
    ],
)
def test_mistakes_in_the_options(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bundle: Path,
    tmp_path: Path,
    options: list[str],
    start: str,
) -> None:
    (tmp_path / "token").write_text("0123456789abcdef")
    given = [str(tmp_path / "token") if option == "TOKEN" else option for option in options]
    assert run(monkeypatch, bundle, *given) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"skipline: {start}")
    assert err.count("\n") == 1


def test_a_bundle_that_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "gone") == 2
    assert capsys.readouterr().err.startswith("skipline: no such bundle or run 'gone'. Expected a bundle")


def test_a_missing_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bundle: Path
) -> None:
    found = serving.running.find_spec
    monkeypatch.setattr(serving.running, "find_spec", lambda name: None if name == "uvicorn" else found(name))
    assert run(monkeypatch, bundle) == 1
    assert capsys.readouterr().err == (
        "skipline: skipline serve needs uvicorn, which is not installed: pip install 'skipline[serve]'\n"
    )


def test_options_become_settings_and_an_open_server_is_mentioned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bundle: Path
) -> None:
    given: list[Any] = []

    def serve(settings: Any, announce: Any) -> None:
        given.append(settings)
        announce("resnet20 at http://0.0.0.0:9000")

    monkeypatch.setattr(serving, "serve", serve)
    options = ["--host", "0.0.0.0", "--port", "9000", "--workers", "2", "--batch-size", "8", "--gather", "2"]
    options += [
        "--max-body",
        "1.5",
        "--max-pixels",
        "2",
        "--max-files",
        "3",
        "--queue",
        "4",
        "--timeout",
        "5",
    ]
    assert run(monkeypatch, bundle, *options) == 0
    (settings,) = given
    assert (settings.target, settings.host, settings.port, settings.workers) == (bundle, "0.0.0.0", 9000, 2)
    assert settings.limits == Limits(1_572_864, 2_000_000, 3, 4, 5.0, 8, 0.002)
    assert capsys.readouterr().err == (
        "note: everyone who reaches 0.0.0.0 can use this server; for a token that clients must show, set "
        "SKIPLINE_TOKEN or give --token-file\n"
        "serving resnet20 at http://0.0.0.0:9000  (Ctrl-C stops)\n"
        "stopped\n"
    )
