"""A cable with a delay between two network namespaces: python hosts_relay.py NAMESPACE NAMESPACE DEVICE SECONDS.

Opens a TUN device in each namespace and hands every packet from one to the other when its time has come. Segments pass
whole (up to 64 kB, with their virtio header), so that a Python process keeps up with a gigabit. Prints "ready" when
both devices are there; they go with the process.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
CHECKSUMS, SEGMENTS_4, SEGMENTS_6 = 0x01, 0x02, 0x04  # TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6
LARGEST = 65_536 + 64  # bytes: a whole segment and its headers
AT_ONCE = 64  # packets read before those that are due are sent


def open_device(namespace: str, name: str) -> int:
    """A file descriptor of a new TUN device in a namespace; this process is in that namespace afterwards."""
    system = ctypes.CDLL(None, use_errno=True)
    with Path("/var/run/netns", namespace).open("rb") as place:
        if system.setns(place.fileno(), NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(device, TUNSETOFFLOAD, CHECKSUMS | SEGMENTS_4 | SEGMENTS_6)
    return device


def read_packets(device: int) -> list[bytes]:
    """What has come, at most so many at once."""
    packets: list[bytes] = []
    with suppress(OSError):  # none left, or the link is down
        while len(packets) < AT_ONCE:
            packets.append(os.read(device, LARGEST))
    return packets


def relay(devices: tuple[int, int], delay: float) -> None:
    """Pass packets on until killed.

    Args:
        devices: of the two ends.
        delay: seconds, each way.
    """
    waiting: dict[int, deque[tuple[float, bytes]]] = {device: deque() for device in devices}
    other = {devices[0]: devices[1], devices[1]: devices[0]}
    while True:
        heads = [queue[0][0] for queue in waiting.values() if queue]
        timeout = max(0.0, min(heads) - time.monotonic()) if heads else None
        for device in select.select(devices, (), (), timeout)[0]:
            arrived = read_packets(device)
            waiting[other[device]].extend((time.monotonic() + delay, packet) for packet in arrived)
        now = time.monotonic()
        for device, queue in waiting.items():
            while queue and queue[0][0] <= now:
                with suppress(OSError):  # the link is down: on a cable that is out packets are lost
                    os.write(device, queue.popleft()[1])


def main() -> None:
    first, second, name, delay = sys.argv[1:]
    devices = (open_device(first, name), open_device(second, name))
    print("ready", flush=True)
    relay(devices, float(delay))


if __name__ == "__main__":
    main()
