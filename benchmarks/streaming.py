"""How fast batches come from shards that are decoded on the way, beside the same batches from the decoded cache.

Command: python benchmarks/streaming.py [--small SOURCE] [--photos SOURCE] [--turns 5] [--json]

Both sides use all cores, and take turns (A B A B ...); the first pair only warms up. Printed are medians with the
smallest and largest ratio of a turn. Order and augmentation have seed 0. Without sources, JPEG files are made (seed 0)
in a temporary folder. `skipline.bench.streaming` does the measuring.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from skipline.bench.streaming import streaming_rows
from skipline.machine import describe_machine


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", help="source of small images, such as cifar10-jpeg.tar")
    parser.add_argument("--photos", help="source of photos")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = streaming_rows(turns=arguments.turns, small=arguments.small, photos=arguments.photos)
    machine = describe_machine()
    if arguments.json:
        print(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}))
        return
    print(machine)
    print(f"{'':<54} {'shards':>10} {'cache':>10} {'ratio':>6}  range        bytes an image")
    for row in rows:
        low, high = row.ratio_range
        print(
            f"{row.what:<54} {row.ours:>10,.0f} {row.peer:>10,.0f} {row.ratio:>6.2f}  {low:.2f} to {high:.2f} "
            f"{row.notes['bytes_per_image']:>9,}"
        )


if __name__ == "__main__":
    main()
