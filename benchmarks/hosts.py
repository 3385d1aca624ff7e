"""Two hosts on this machine, joined by a slow cable: the cost model against measurement, and a cable that is cut.

    sudo .venv/bin/python benchmarks/hosts.py compare [--turns 3] [--out FILE]
    sudo .venv/bin/python benchmarks/hosts.py cut [--seconds 30] [--after 20] [--out FOLDER]
    sudo .venv/bin/python benchmarks/hosts.py run [--megabits 100] [--milliseconds 10] -- COMMAND ...

The hosts are network namespaces (`hosts_network.py`; root only), so they share this machine's processor: each process
computes on one thread. `compare` measures gloo all-reduces and training steps over several cables, beside what
`skipline.bench.cost_model` says from the step's cost without a network and the cable's two figures. `cut` trains on
both hosts with torchrun, takes the cable out for a while, and tells what the run's events say. `run` starts a command
on both hosts, for trying things out.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from hosts_cut import cut_a_run
from hosts_network import Cable, two_hosts, why_not
from hosts_run import on_both

from skipline import models
from skipline.bench.cost_model import Cluster, Link, Workload, predict
from skipline.bench.link import measure_link
from skipline.bench.model_inputs import step_cost
from skipline.bench.side_by_side import CASES, ranks_of
from skipline.machine import describe_machine
from skipline.training.precision import Execution

CABLES = (
    Cable(),
    Cable(bits=1e9),
    Cable(bits=1e8),
    Cable(bits=1e9, delay=0.001),
    Cable(bits=1e9, delay=0.010),
)
WAY = Execution(bf16=True, channels_last=True, threads=1)
PAYLOAD = 1448 / 1514
"""Share of a frame's bytes that are data: TCP with time stamps over IPv4 over Ethernet, as tc counts them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare")
    compare.add_argument("--turns", type=int, default=3)
    compare.add_argument("--out", type=Path)
    cutting = commands.add_parser("cut")
    cutting.add_argument("--seconds", type=float, default=30.0)
    cutting.add_argument("--after", type=float, default=20.0)
    cutting.add_argument("--out", type=Path, default=Path("runs/cut"))
    running = commands.add_parser("run")
    running.add_argument("--megabits", type=float)
    running.add_argument("--milliseconds", type=float, default=0.0)
    running.add_argument("words", nargs="+", metavar="COMMAND")
    given = parser.parse_args()
    if reason := why_not():
        raise SystemExit(f"hosts: {reason}")
    # Asked to end, Python would leave the hosts behind: it must unwind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if given.command == "compare":
        _compare(given.turns, given.out)
    elif given.command == "cut":
        cut_a_run(given.out, seconds=given.seconds, after=given.after)
    else:
        bits = None if given.megabits is None else given.megabits * 1e6
        with two_hosts(Cable(bits, given.milliseconds / 1e3)) as hosts:
            raise SystemExit(on_both(hosts, given.words))


def _compare(turns: int, out: Path | None) -> None:
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}; {WAY}; {turns} turns")
    here = measure_link(2, turns=turns).link
    print(f"loopback: {_link(here)}")
    costs = {case.network: step_cost(case, WAY, 2, turns=turns) for case in CASES}
    rows: list[dict[str, Any]] = []
    for cable in CABLES:
        with two_hosts(cable) as hosts:
            prefixes = [host.prefix for host in hosts]
            measured = measure_link(2, turns=turns, prefixes=prefixes)
            print(f"\n{cable}: all-reduce {_link(measured.link)}")
            for case in CASES:
                cost = costs[case.network]
                workload = Workload(
                    case.batch // 2,
                    cost.seconds_per_image,
                    models.spec(case.network).params,
                    seconds_per_step=cost.seconds_per_step,
                )
                predicted = predict(workload, Cluster(2, 1, here, between=_expected(cable, here)))
                with ranks_of(case, WAY, 2, prefixes=prefixes) as ranks:
                    rates = [ranks.turn() for _ in range(turns)]
                row = {
                    "cable": str(cable),
                    **asdict(cable),
                    "network": case.network,
                    "batch": case.batch,
                    "predicted": predicted.images_per_second,
                    "bound": predicted.bound,
                    "measured": median(rates),
                    "runs": rates,
                    "link": asdict(measured.link),
                }
                row["error"] = row["predicted"] / row["measured"] - 1
                rows.append(row)
                print(
                    f"  {case.network:10s} predicted {row['predicted']:7.1f} measured {row['measured']:7.1f} img/s "
                    f"[{min(rates):.1f}, {max(rates):.1f}] error {row['error']:+.0%} ({predicted.bound})"
                )
    if out:
        values = {
            "machine": machine,
            "way": str(WAY),
            "command": f"benchmarks/hosts.py compare --turns {turns}",
            "measured": time.strftime("%Y-%m-%d"),
            "loopback": asdict(here),
            "rows": rows,
        }
        out.write_text(json.dumps(values, indent=1) + "\n")


def _expected(cable: Cable, here: Link) -> Link:
    """What a planner knows: the cable's figures, on top of what the library takes over loopback."""
    bandwidth = here.bandwidth if cable.bits is None else min(here.bandwidth, cable.bits / 8 * PAYLOAD)
    return Link(bandwidth, here.latency + cable.delay)


def _link(link: Link) -> str:
    return f"{link.bandwidth / 1e6:,.1f} MB/s, {link.latency * 1e3:.3f} ms a message"


if __name__ == "__main__":
    main()
