"""The processes that train together, and what they tell each other."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook

from skipline.errors import DistributedError, OtherProcessError, SkiplineError
from skipline.training.distributed.environment import Place
from skipline.training.distributed.heart import LOOK, Heart, beats, silent_ranks

TIMEOUT = 300.0  # seconds, until the recipe is known
POLL = 0.02  # seconds between two looks into the store
EXCHANGE = ("gloo", "nccl", "timed out", "timeout", "connection", "process group", "broken pipe", "socket")

Value = TypeVar("Value")


class Group:
    """One process among those that train together, or the only one.

    What is decided once for all goes through the store, where a process waits as long as the one that it waits for
    gives signs of life; what is computed together goes through torch.distributed, with a time limit.
    All processes must call the methods in the same order.

    Args:
        place: of this process; None for one that trains alone.
        store: that all processes share; None for one that trains alone, or is the only one left.

    Attributes:
        rank: from 0.
        size: processes.
        local_size: processes on this machine.
        restart: how often the job has begun anew.
        job: names the job, "" for a process alone.
        timeout: seconds after which a process that gives no answer ends the job.
    """

    def __init__(self, place: Place | None = None, store: Store | None = None) -> None:
        self.rank, self.size = (place.rank, place.size) if place else (0, 1)
        self._local_rank, self.local_size = (place.local_rank, place.local_size) if place else (0, 1)
        self.restart, self.job = (place.restart, place.job) if place else (0, "")
        self.timeout = TIMEOUT
        self._store, self._said = store, 0
        self._heart = Heart(store, self.rank) if store is not None else None

    @property
    def first(self) -> bool:
        """Whether this process writes, decides and tells."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def share(self) -> tuple[int, int]:
        """(k, n), as `Batches` takes it."""
        return self.rank, self.size

    def connect(self, device: torch.device, timeout: float) -> None:
        """Open the channels for tensors, once: gloo between processors, NCCL between GPUs.

        Args:
            device: where tensors are.
            timeout: seconds after which an exchange without answer is an error.
        """
        if self.alone or dist.is_initialized():
            return
        self.meet()
        self.timeout = timeout
        assert self._store is not None
        dist.init_process_group(
            backend="nccl" if device.type == "cuda" else "gloo",
            store=PrefixStore("exchange", self._store),
            rank=self.rank,
            world_size=self.size,
            timeout=timedelta(seconds=timeout),
        )

    def decided(self, decide: Callable[[], Value]) -> Value:
        """What the first process decides, for all.

        Args:
            decide: gives JSON values; called by the first process alone.

        Raises:
            SkiplineError: what `decide` raised, in the first process; `OtherProcessError` in the others.
        """
        if self.alone:
            return decide()
        key = self._next_key()
        assert self._store is not None
        if not self.first:
            told: Value = self._answer(key, of=0)
            return told
        try:
            value = decide()
        except BaseException:
            self._store.set(key, json.dumps({"failed": True}))
            raise
        self._store.set(key, json.dumps({"value": value}))
        return value

    def agreed(self, value: Value) -> Value:
        """The first process's value, for all; JSON values."""
        return self.decided(lambda: value)

    def in_turn(self, work: Callable[[], Value]) -> Value:
        """Do something on every process, first on one of each machine, so that the others find what it has stored.

        Args:
            work: the same on all, such as opening a source.

        Raises:
            SkiplineError: what `work` raised here; `OtherProcessError` where it failed on the machine's first process.
        """
        if self.local_size == 1:
            return work()
        assert self._store is not None
        leader = self.rank - self._local_rank
        key = f"{self._next_key()}/{leader}"
        if self._local_rank:
            self._answer(key, of=leader)
            return work()
        try:
            value = work()
        except BaseException:
            self._store.set(key, json.dumps({"failed": True}))
            raise
        self._store.set(key, json.dumps({"value": None}))
        return value

    def meet(self) -> None:
        """Wait until all are here, as long as all give signs of life."""
        if self.alone:
            return
        key = self._next_key()
        assert self._store is not None
        self._store.set(f"{key}/{self.rank}", json.dumps({"value": None}))
        for rank in range(self.size):
            self._answer(f"{key}/{rank}", of=rank)

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place."""
        if not self.alone:
            dist.all_reduce(values)
        return values

    def gathered(self, values: torch.Tensor) -> list[torch.Tensor]:
        """The rows (n, ...) of every process, by rank; n may differ between them."""
        if self.alone:
            return [values]
        counts = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([len(values)], device=values.device))
        most = max(int(count) for count in counts)
        padded = torch.cat([values, values.new_zeros(most - len(values), *values.shape[1:])]).contiguous()
        received = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(received, padded)
        return [rows[: int(count)] for rows, count in zip(received, counts, strict=True)]

    def on_device(self, values: torch.Tensor) -> torch.Tensor:
        """The same where the processes exchange tensors."""
        return values.to("cuda") if not self.alone and dist.get_backend() == "nccl" else values

    def same_buffers(self, network: nn.Module) -> None:
        """Give every process the first one's buffers, which are the statistics of batch normalisation."""
        if self.alone:
            return
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)

    def copied(self, state: dict[str, Any] | None) -> dict[str, Any]:
        """The first process's state of tensors and plain values, on the CPU of all.

        Args:
            state: what the first process has; None in the others.
        """
        if self.alone:
            assert state is not None
            return state
        written = io.BytesIO()
        if self.first:
            torch.save(state, written)
        length = self.on_device(torch.tensor([written.tell()]))
        dist.broadcast(length, 0)
        data = self.on_device(torch.empty(int(length), dtype=torch.uint8))
        if self.first:
            data.copy_(torch.frombuffer(written.getbuffer(), dtype=torch.uint8))
        dist.broadcast(data, 0)
        loaded: dict[str, Any] = torch.load(io.BytesIO(data.cpu().numpy().tobytes()), weights_only=True)
        return loaded

    def parallel(self, network: nn.Module, bf16: bool = False) -> nn.Module:
        """The network with gradients averaged over all processes, a bucket at a time while others are computed.

        Args:
            network: or what `torch.compile` made of it; on its device, with at least one parameter to learn.
            bf16: gradients travel as bfloat16.
        """
        assert not self.alone
        # Buffers go along in every forward pass: all processes normalise with the first one's running statistics.
        parallel = nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)
        if bf16:
            parallel.register_comm_hook(None, bf16_compress_hook)
        return parallel

    def without_exchange(self, network: object, wanted: bool) -> AbstractContextManager[object]:
        """A context in which gradients are added up here and not yet averaged, where that is wanted."""
        if wanted and isinstance(network, nn.parallel.DistributedDataParallel):
            return network.no_sync()
        return nullcontext()

    def explained(self, error: RuntimeError) -> DistributedError | None:
        """Which process an exchange failed for; None where the error is of another kind.

        Takes some seconds, in which signs of life are looked for.
        """
        text = str(error)
        if self.alone or isinstance(error, SkiplineError) or not any(w in text.lower() for w in EXCHANGE):
            return None
        silent = self.silent()
        late = "timed out" in text.lower() or "timeout" in text.lower()
        what = (
            f"got no answer within {self.timeout:g} s (--set distributed.timeout=N)"
            if late
            else "lost the others"
        )
        if silent:
            names = " and ".join(f"process {rank}" for rank in silent)
            why = f"{names} {'give' if len(silent) > 1 else 'gives'} no sign of life: killed, suspended or cut off"
        else:
            why = "all of them give signs of life: one ended an exchange, or waits for something else"
        return DistributedError(f"process {self.rank} of {self.size} {what}: {why}. {_reason(text)}")

    def silent(self) -> list[int]:
        """The other processes that give no sign of life; looks for some seconds."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        if self._store is None:
            return []
        try:
            return silent_ranks(self._store, others)
        except RuntimeError:  # the store is gone, and with it whoever kept it
            return others

    def tells(self, error: SkiplineError) -> bool:
        """Whether this process is the one to tell about an error: of several that fail, only the lowest one does."""
        if self.alone:
            return True
        if isinstance(error, OtherProcessError):
            return False
        assert self._store is not None
        try:
            self._store.set(f"error/{self.rank}", "")
            end = time.monotonic() + LOOK
            while self.rank and time.monotonic() < end:
                if any(self._store.check([f"error/{lower}"]) for lower in range(self.rank)):
                    return False
                time.sleep(POLL)
        except RuntimeError:  # the store is gone, and with it whoever kept it
            return self.first
        return True

    def leave(self) -> None:
        """Close the channels."""
        if self._heart is not None:
            self._heart.stop()
        if dist.is_initialized():
            dist.destroy_process_group()

    def _next_key(self) -> str:
        self._said += 1
        return f"said/{self._said}"

    def _answer(self, key: str, of: int) -> Any:
        """What another process has put into the store, waited for while it lives."""
        assert self._store is not None
        count, since = -1, time.monotonic()
        while not self._store.check([key]):
            now = time.monotonic()
            if (heard := beats(self._store, of)) != count:
                count, since = heard, now
            elif now - since > self.timeout:
                raise DistributedError(
                    f"process {self.rank} of {self.size} waited {self.timeout:g} s for process {of}, which gives no "
                    "sign of life: killed, suspended or cut off"
                )
            time.sleep(POLL)
        said = json.loads(self._store.get(key))
        if "failed" in said:
            raise OtherProcessError(f"process {of} could not go on, and has said why")
        return said["value"]


def _reason(text: str) -> str:
    """The first sentence of an error of gloo or NCCL, without the place in their source."""
    line = re.sub(r"^\[[^\]]*\]\s*", "", text.strip().splitlines()[0])
    return line.partition(". ")[0][:200]
