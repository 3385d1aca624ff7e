"""Two network namespaces as two hosts: own names and addresses, and a cable with a bandwidth and a delay, to be cut.

Needs root on Linux with iproute2. The cable is a veth pair, or two TUN devices with `hosts_relay.py` between them where
it has a delay (the kernel's own netem is often not there). Bandwidth is limited at both ends by tc's token bucket.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
DEVICE = "link0"
NETWORK = "10.213.77"
READY = 10.0  # seconds that the relay may take to open its devices
GRACE = 5.0  # seconds that what still runs on a host has to end by itself


@dataclass(frozen=True)
class Cable:
    """What joins the hosts.

    Attributes:
        bits: a second, each way; None for as fast as it goes.
        delay: seconds, one way.
    """

    bits: float | None = None
    delay: float = 0.0

    def __str__(self) -> str:
        rate = "unlimited" if self.bits is None else f"{self.bits / 1e6:,.0f} Mbit/s"
        return f"{rate}, +{self.delay * 1e3:g} ms" if self.delay else rate


@dataclass(frozen=True)
class Host:
    """One namespace.

    Attributes:
        name: of the namespace, and of the host as it is seen inside.
        address: IPv4.
    """

    name: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command so that it runs there, under the host's own name."""
        naming = f'hostname {self.name} && exec "$@"'
        return ("ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c", naming, "sh")


def why_not() -> str | None:
    """What is missing here, in words; None where everything is there."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are a part of Linux; this is " + sys.platform
    missing = [name for name in ("ip", "tc", "unshare") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} must be installed (packages iproute2 and util-linux)"
    if os.geteuid() != 0:
        return "making network namespaces needs root: run it with sudo, or as root in a container with --privileged"
    return None


@contextmanager
def two_hosts(cable: Cable) -> Iterator[tuple[Host, Host]]:
    """Make two joined hosts, and remove them and all that still runs on them in the end, whatever happened.

    What a process left that was killed on the spot is removed by the next one.

    Args:
        cable: between them.

    Raises:
        SystemExit: something is missing here, or a command of the system failed; says which.
    """
    if reason := why_not():
        raise SystemExit(f"hosts: {reason}")
    _remove_orphans()
    hosts = tuple(
        Host(f"skipline-{os.getpid()}-{letter}", f"{NETWORK}.{number}")
        for number, letter in ((1, "a"), (2, "b"))
    )
    with ExitStack() as made:
        for host in hosts:
            made.callback(_remove, host)
            _run("ip", "netns", "add", host.name)
            _names(host, hosts)
            _run("ip", "-n", host.name, "link", "set", "lo", "up")
        if cable.delay:
            made.enter_context(_relay(hosts, cable.delay))
        else:
            ends = [f"sl{os.getpid()}{letter}" for letter in "ab"]
            _run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            for host, end in zip(hosts, ends, strict=True):
                _run("ip", "link", "set", end, "netns", host.name, "name", DEVICE)
        for host in hosts:
            _run("ip", "-n", host.name, "address", "add", f"{host.address}/24", "dev", DEVICE)
            _run("ip", "-n", host.name, "link", "set", DEVICE, "up")
            if cable.bits is not None:
                _limit(host, cable.bits)
        yield hosts[0], hosts[1]


def cut(hosts: Sequence[Host]) -> None:
    """Take the cable out: nothing arrives any more, and both ends notice that there is no carrier."""
    for host in hosts:
        _run("ip", "-n", host.name, "link", "set", DEVICE, "down")


def join(hosts: Sequence[Host]) -> None:
    """Put the cable back in."""
    for host in hosts:
        _run("ip", "-n", host.name, "link", "set", DEVICE, "up")


def _limit(host: Host, bits: float) -> None:
    # A millisecond's worth of bytes may pass at once: less and the clock's ticks cost bandwidth, more and small
    # messages are not slowed at all.
    burst = max(16 * 1024, int(bits / 8 / 1000))
    options = ("rate", f"{int(bits)}bit", "burst", str(burst), "latency", "100ms")
    _run("tc", "-n", host.name, "qdisc", "add", "dev", DEVICE, "root", "tbf", *options)


def _names(host: Host, hosts: Sequence[Host]) -> None:
    """What /etc/hosts says on this host: torchrun and gloo look their own name up."""
    folder = Path("/etc/netns", host.name)
    folder.mkdir(parents=True)
    lines = ["127.0.0.1 localhost", *(f"{one.address} {one.name}" for one in hosts)]
    (folder / "hosts").write_text("\n".join(lines) + "\n")


@contextmanager
def _relay(hosts: Sequence[Host], delay: float) -> Iterator[None]:
    command = [
        sys.executable,
        str(HERE / "hosts_relay.py"),
        *(host.name for host in hosts),
        DEVICE,
        str(delay),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise SystemExit(f"hosts: the relay ended with status {process.wait()}")
        yield
    finally:
        process.terminate()
        process.wait(GRACE)
        process.stdout.close()


def _remove(host: Host) -> None:
    """End what runs on a host, then remove it; a host that was never made is nothing to remove."""
    for end in (signal.SIGTERM, signal.SIGKILL):
        for pid in _running(host):
            with suppress(ProcessLookupError):
                os.kill(pid, end)
        until = time.monotonic() + GRACE
        while _running(host) and time.monotonic() < until:
            time.sleep(0.05)
    subprocess.run(["ip", "netns", "delete", host.name], check=False, capture_output=True)
    shutil.rmtree(Path("/etc/netns", host.name), ignore_errors=True)
    with suppress(OSError):  # others may have theirs in it
        Path("/etc/netns").rmdir()


def _remove_orphans() -> None:
    """Remove the hosts of processes that are no more."""
    for line in subprocess.run(
        ["ip", "netns", "list"], check=True, capture_output=True, text=True
    ).stdout.splitlines():
        found = re.fullmatch(r"skipline-(\d+)-[ab]", line.split()[0])
        if found and not Path("/proc", found[1]).exists():
            _remove(Host(found[0], ""))


def _running(host: Host) -> list[int]:
    found = subprocess.run(["ip", "netns", "pids", host.name], check=False, capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"hosts: {' '.join(command)}: {done.stderr.strip() or done.returncode}")
