"""What the probes cost: training resnet20 on scikit-learn's digits with the observer and without.

Command   .venv/bin/python benchmarks/probe_overhead.py [--model resnet20] [--source digits] [--epochs 24] [--pairs 5]
Prints    machine, the median of each arm with its spread, and the ratio of the medians; then what the observer itself
          counted, which is what a run's report shows.

The arms take turns, run by run (off on, on off, ...), on one thread; seed 0 in every run, so that all do the same work,
and both must end in the same weights, bit for bit. Processor time of the process is what counts on a shared machine.
The held-out images are not measured, so that the time is that of training alone.

Measured on two cores of an AMD EPYC without bf16 (torch 2.14), otherwise idle; digits, 24 epochs of 11 steps, 3 pairs,
median [least, most]:

    processor  off 18.38 s [17.89, 22.11]  on 18.38 s [18.33, 19.35]  ratio 1.000
    counted by the observer  3.0 % [2.7, 3.9] of training, 8 readings of 32 images, 4 of the 12 planned left out

A reading of 32 images costs about one step of batch 128 at 8x8 and half of one at 32x32 (fp32): in runs of
a few hundred steps the 3 % pay for fewer readings than planned, from a few thousand steps on for all of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from skipline.data import Batches, open_source
from skipline.diagnosis.probes import ProbeObserver
from skipline.machine import describe_machine
from skipline.models import create
from skipline.training import Measurement, default_choice, named_recipe
from skipline.training.loop import Loop
from skipline.training.plan import resolve_preprocessing
from skipline.training.precision import Execution


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="digits")
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--recipe", help="the source's own by default")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--limit", type=int, help="train on the first so many images")
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, 1 thread, seed 0, fp32")
    with tempfile.TemporaryDirectory() as scratch:
        train = prepared(arguments, Path(scratch))
        train([])  # warm-up
        taken: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        counted, weights = [], {}
        for pair in range(arguments.pairs):
            for on in (pair % 2 == 1, pair % 2 == 0):
                times, notes, weights[on] = train([ProbeObserver()] if on else [])
                taken[on].append(times)
                counted += [values for kind, values in notes if kind == "probe-overhead"]
            same = all(torch.equal(a, b) for a, b in zip(weights[False], weights[True], strict=True))
            print(
                f"pair {pair + 1}  processor {taken[False][-1][0]:.2f} -> {taken[True][-1][0]:.2f} s",
                flush=True,
            )
            assert same, "the probes changed the run"
    for index, clock in enumerate(("processor", "wall")):
        off, on = ([times[index] for times in taken[arm]] for arm in (False, True))
        ratio = statistics.median(on) / statistics.median(off)
        print(f"{clock:9}  off {spread(off)}  on {spread(on)}  ratio {ratio:.3f}")
    shares = [values["share"] for values in counted]
    last = counted[-1]
    print(
        f"counted by the observer  {statistics.median(shares):.1%} [{min(shares):.1%}, {max(shares):.1%}] of training, "
        f"{last['readings']} readings of {last['images']} images, {last['skipped']} left out"
    )


def prepared(
    arguments: argparse.Namespace, scratch: Path
) -> Callable[[list[Any]], tuple[tuple[float, float], list[tuple[str, dict[str, Any]]], list[torch.Tensor]]]:
    """A function that trains once under given observers: (processor, wall) seconds, notes, weights."""
    dataset = open_source(arguments.source)
    recipe = named_recipe(arguments.recipe) if arguments.recipe else default_choice(dataset, False)[1]
    recipe = recipe.model_copy(update={"epochs": arguments.epochs, "precision": "fp32"})
    preprocessing = resolve_preprocessing(recipe.input, dataset)
    images = dataset.train if arguments.limit is None else first(dataset.train, arguments.limit)
    classes, channels = len(dataset.classes), dataset.train.shape[0]

    def train(
        observers: list[Any],
    ) -> tuple[tuple[float, float], list[tuple[str, dict[str, Any]]], list[torch.Tensor]]:
        notes: list[tuple[str, dict[str, Any]]] = []
        network = create(arguments.model, classes=classes, channels=channels, seed=0)
        network = network.to(memory_format=torch.channels_last)
        batches = Batches(
            images, preprocessing, batch_size=recipe.batch_size, augmentation=recipe.augmentation, seed=0
        )
        loop = Loop(
            network,
            batches,
            recipe,
            Execution(threads=torch.get_num_threads()),
            scratch / "last.ckpt",
            lambda network: Measurement(0.0, None),
            observers,
            lambda kind, **values: notes.append((kind, values)),
        )
        torch.manual_seed(0)
        with stopwatch() as times:
            loop.run()
        return (times[0], times[1]), notes, [value.clone() for value in network.state_dict().values()]

    return train


def first(images: Any, count: int) -> Any:
    from dataclasses import replace

    return replace(images, images=images.images[:count], labels=images.labels[:count], files=())


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    begin = time.process_time(), time.perf_counter()
    times: list[float] = []
    yield times
    times += [time.process_time() - begin[0], time.perf_counter() - begin[1]]


def spread(times: list[float]) -> str:
    return f"{statistics.median(times):6.2f} s [{min(times):.2f}, {max(times):.2f}]"


if __name__ == "__main__":
    main()
