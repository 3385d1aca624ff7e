"""Published resnet20 in int8 against fp32 and the engine that is chosen: accuracy and images a second.

    .venv/bin/python benchmarks/int8.py ../shared/data/cifar10-jpeg.tar ../shared/weights/resnet20-12fca82f.th

Calibrated on 300 training images, evaluated on the 10,000 test images; batch 64 and one at a time, A B A B.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch

from skipline import models
from skipline.bench.comparison import in_turn, repeated
from skipline.bundle import Bundle, load_foreign
from skipline.data import Preprocessing, open_source
from skipline.engines import choose_engine
from skipline.engines.engine import plain
from skipline.machine import describe_machine

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as published with these weights


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("weights")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    source = open_source(options.source)
    train, test = source.train, source.test
    network = models.create("resnet20", classes=10, channels=3)
    load_foreign(network, options.weights)
    bundle = Bundle("resnet20", network.eval(), train.classes, Preprocessing(3, 32, 32, MEAN, STD))
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}")
    for batch in (64, 1):
        found = bundle.quantised(train, test, batch_size=batch)
        if batch == 64:
            print(
                f"test accuracy {found.accuracy_before:.2%} in fp32, {found.accuracy_after:.2%} in int8; "
                f"same class for {found.agreement:.2%} of {found.n:,} images"
            )
        images = torch.randn(batch, 3, 32, 32)
        chosen = choose_engine(network, images)
        for name, other in (("plain PyTorch", plain(network)), (str(chosen.way), chosen.forward)):
            row = in_turn(
                f"batch {batch}",
                partial(repeated, partial(found.engine, images), batch),
                partial(repeated, partial(other, images), batch),
                name,
                turns=options.turns,
            )
            low, high = row.ratio_range
            print(
                f"batch {batch}: int8 {row.ours:,.0f} images/s, {name} {row.peer:,.0f}: "
                f"{row.ratio:.2f} [{low:.2f}, {high:.2f}]"
            )


if __name__ == "__main__":
    main()
