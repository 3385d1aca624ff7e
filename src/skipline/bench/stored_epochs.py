"""The process behind a point of the curve over data sets: python -m skipline.bench.stored_epochs SOURCE NETWORK WAY.

Opens a source as `skipline train` does, decoding it into the store, and in every turn goes once through the augmented
batches of an epoch and then trains on some of the next. Memory is watched from the start, the decoding included.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from itertools import chain, count
from pathlib import Path

import torch

from skipline import models
from skipline.bench.own_step import OwnStep
from skipline.bench.peers.conversation import Conversation, installed
from skipline.data import Augmentation, Batches, Preprocessing, channel_statistics, open_source
from skipline.machine import peak_memory_bytes
from skipline.training.precision import Execution

BATCH = 128
READING, TRAINING = 0.3, 1.0  # seconds that the two parts of a turn take at least
EVERY = 0.02  # seconds between two looks at the memory
SIZES = ("RssAnon", "VmHWM")  # lines of /proc/self/status, in kB


class Memory:
    """The largest memory of this process so far, in bytes.

    Not what `getrusage` says: on Linux that begins with the memory of the process that started this one.

    Attributes:
        own: the largest part that is not pages of files, which the system may take back; None where it does not tell.
        peak: the largest whole.
    """

    def __init__(self) -> None:
        self.own: int | None = None
        self.peak: int | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    def look(self) -> None:
        """Note how much it is now."""
        try:
            lines = Path("/proc/self/status").read_text().splitlines()
        except OSError:
            self.peak = peak_memory_bytes()
            return
        sizes = {
            key: 1024 * int(value.split()[0])
            for key, _, value in (s.partition(":") for s in lines)
            if key in SIZES
        }
        self.own, self.peak = max(self.own or 0, sizes["RssAnon"]), sizes["VmHWM"]

    def _watch(self) -> None:
        while True:
            self.look()
            time.sleep(EVERY)


def main(source: str, name: str, way: str) -> None:
    """Answer turns."""
    conversation = Conversation()
    memory = Memory()
    execution = Execution(**json.loads(way))
    torch.set_num_threads(execution.threads)
    data = open_source(source)
    channels, side, _ = data.train.shape
    mean, std = channel_statistics(data.train.images)
    batches = Batches(
        data.train,
        Preprocessing(channels, side, side, mean, std),
        batch_size=BATCH,
        augmentation=Augmentation(pad_crop=4, flip="random"),
    )
    network = models.create(name, classes=len(data.classes), channels=channels, seed=0).train()
    step = OwnStep(network, execution)
    conversation.introduce(
        f"{len(data.train):,} images", installed("torch"), sum(p.numel() for p in network.parameters())
    )
    epochs = count()
    while True:
        conversation.wait()
        read = _read(batches, epochs)
        trained = _trained(batches, step, epochs)
        memory.look()
        conversation.answer(
            trained,
            batched_per_second=read,
            peak_memory_bytes=memory.peak,
            own_memory_bytes=memory.own,
        )


def _read(batches: Batches, epochs: count[int]) -> float:
    """Images a second of whole epochs of batches, without a network."""
    done, start = 0, time.perf_counter()
    while not done or time.perf_counter() - start < READING:
        done += sum(len(batch.labels) for batch in batches.epoch(next(epochs)))
    return done / (time.perf_counter() - start)


def _trained(batches: Batches, step: OwnStep, epochs: count[int]) -> float:
    """Images a second of training steps, batches included."""
    done, start = 0, time.perf_counter()
    for batch in chain.from_iterable(batches.epoch(epoch) for epoch in epochs):
        step(batch.images, batch.targets)
        done += len(batch.labels)
        if time.perf_counter() - start >= TRAINING:
            break
    return done / (time.perf_counter() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
