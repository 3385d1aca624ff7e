"""Two hosts in network namespaces: what is said where they cannot be made, and that nothing of them stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import hosts_network

    return hosts_network


def test_without_root_it_says_so(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.shutil, "which", lambda name: f"/sbin/{name}")
    monkeypatch.setattr(network.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(network.sys, "platform", "linux")
    assert network.why_not() == (
        "making network namespaces needs root: run it with sudo, or as root in a container with --privileged"
    )
    with (
        pytest.raises(SystemExit, match=r"^hosts: making network namespaces needs root"),
        network.two_hosts(network.Cable()),
    ):
        pass


def test_without_the_tools_it_names_them(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.sys, "platform", "linux")
    monkeypatch.setattr(network.shutil, "which", lambda name: None if name == "tc" else f"/sbin/{name}")
    assert network.why_not() == "tc must be installed (packages iproute2 and util-linux)"


def test_cables_are_named_by_their_figures(network: Any) -> None:
    assert str(network.Cable()) == "unlimited"
    assert str(network.Cable(bits=1e8)) == "100 Mbit/s"
    assert str(network.Cable(bits=1e9, delay=0.01)) == "1,000 Mbit/s, +10 ms"


@pytest.mark.parametrize("delay", [0.0, 0.02])
def test_the_hosts_reach_each_other_by_name_until_the_cable_is_out_and_leave_nothing(
    network: Any, delay: float
) -> None:
    if reason := network.why_not():
        pytest.skip(reason)

    def reached() -> bool:
        code = f"import socket; socket.create_connection(('{second.name}', 5000), 0.5)"
        return (
            subprocess.run([*first.prefix, sys.executable, "-c", code], capture_output=True).returncode == 0
        )

    try:
        with network.two_hosts(network.Cable(bits=1e9, delay=delay)) as (first, second):
            code = (
                "import socket; server = socket.create_server(('', 5000)); print('up', flush=True); "
                "server.accept(); server.accept()"
            )
            server = subprocess.Popen([*second.prefix, sys.executable, "-c", code], stdout=subprocess.PIPE)
            assert server.stdout is not None
            with server.stdout:
                assert server.stdout.readline() == b"up\n"
                assert reached()
                network.cut((second,))
                assert not reached()
                network.join((second,))
                assert reached()
        assert server.wait(10) is not None
    except SystemExit as error:
        pytest.skip(f"this kernel does not let namespaces be made: {error}")
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert first.name not in left
    assert not Path("/etc/netns", first.name).exists()
