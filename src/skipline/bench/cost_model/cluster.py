"""What the processes run on: hosts, and the links inside them and between them."""

from __future__ import annotations

from dataclasses import dataclass

from skipline.errors import InputError


@dataclass(frozen=True)
class Link:
    """A way for messages.

    Attributes:
        bandwidth: bytes a second that an all-reduce moves over it in each direction, protocol included: what
            nccl-tests call bus bandwidth.
        latency: seconds that one message takes on top of its bytes.
    """

    bandwidth: float
    latency: float

    def __post_init__(self) -> None:
        if not self.bandwidth > 0 or not self.latency >= 0:
            raise InputError(
                f"a link needs a bandwidth above 0 bytes a second and a latency of at least 0 s, got "
                f"{self.bandwidth!r} and {self.latency!r}"
            )


@dataclass(frozen=True)
class Cluster:
    """Equal hosts with equal processes.

    Attributes:
        hosts: machines, at least 1.
        per_host: processes on each, one a GPU or one a share of the processor; at least 1.
        inside: the link between two processes of a host.
        between: the link of a whole host to the others; where its processes share a network card, all of it.
        cores: of a host that read and decode images beside the computing; 0 where the process that computes does it
            itself.
        trees: the library may reduce along trees and takes them where they are faster, as NCCL does; gloo has a ring.
    """

    hosts: int
    per_host: int
    inside: Link
    between: Link
    cores: int = 0
    trees: bool = False

    def __post_init__(self) -> None:
        if self.hosts < 1 or self.per_host < 1 or self.cores < 0:
            raise InputError(
                "a cluster needs at least 1 host with 1 process and no fewer than 0 cores for decoding, got "
                f"{self.hosts}, {self.per_host} and {self.cores}"
            )

    @property
    def processes(self) -> int:
        """In all."""
        return self.hosts * self.per_host

    @property
    def narrowest(self) -> Link:
        """What a ring through all processes is as fast as: of each property the worse on its way.

        The ring visits the processes of a host one after the other, so only one message a step enters a host and one
        leaves it.
        """
        if self.hosts == 1:
            return self.inside
        if self.per_host == 1:
            return self.between
        return Link(
            min(self.inside.bandwidth, self.between.bandwidth),
            max(self.inside.latency, self.between.latency),
        )
