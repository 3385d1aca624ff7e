"""Two hosts on this machine, joined by a slow cable: the cost model against measurement, and a cable that is cut.

    sudo .venv/bin/python benchmarks/hosts.py compare [--turns 3] [--out FILE]
    sudo .venv/bin/python benchmarks/hosts.py cut [--seconds 30] [--after 5] [--out FOLDER]
    sudo .venv/bin/python benchmarks/hosts.py run [--megabits 100] [--milliseconds 10] -- COMMAND ...

The hosts are network namespaces (`hosts_network.py`; root only), so they share this machine's processor: each process
computes on one thread. `compare` measures gloo all-reduces, training steps and `skipline train` over several cables and
on this host alone, beside what `skipline.bench.cost_model` says from the step's cost without a network and the cable's
two figures; of several measurements the fastest counts. `cut` trains on both hosts with torchrun, takes the cable out
for a while, and tells what the run's events say. `run` starts a command on both hosts, for trying things out.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hosts_cut import cut_a_run
from hosts_network import Cable, two_hosts, why_not
from hosts_run import on_both
from hosts_train import make_source, told, trained_by, trained_on

from skipline import models
from skipline.bench.cost_model import Cluster, Link, Workload, predict
from skipline.bench.link import measure_link
from skipline.bench.model_inputs import COUNTS, StepCost, step_cost
from skipline.bench.side_by_side import CASES, Case, ranks_of
from skipline.machine import available_cores, describe_machine
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
    cutting.add_argument("--after", type=float, default=5.0)
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
    machine, load = describe_machine(), os.getloadavg()[0]
    print(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}; {WAY}; {turns} turns")
    here = measure_link(2, turns=turns).link
    print(f"loopback: {_link(here)}")
    costs = {case.network: step_cost(case, WAY, 2, turns=turns) for case in CASES}
    with tempfile.TemporaryDirectory(prefix="skipline-hosts-") as place:
        source = make_source(Path(place))
        rows = [row for cable in CABLES for row in _over(cable, here, costs, turns, source)]
        one_host = [_on_one(count, turns, source) for count in COUNTS[CASES[0].network]]
    if out:
        values = {
            "machine": machine,
            "way": str(WAY),
            "command": f"benchmarks/hosts.py compare --turns {turns}",
            "measured": time.strftime("%Y-%m-%d"),
            "load_before": round(load, 2),
            "loopback": asdict(here),
            "rows": rows,
            "one_host": one_host,
        }
        out.write_text(json.dumps(values, indent=1) + "\n")


def _over(
    cable: Cable, here: Link, costs: Mapping[str, StepCost], turns: int, source: Path
) -> list[dict[str, Any]]:
    """Two hosts and a cable: a row a network."""
    rows = []
    with two_hosts(cable) as hosts:
        prefixes = [host.prefix for host in hosts]
        measured = measure_link(2, turns=turns, prefixes=prefixes).link
        print(f"\n{cable}: all-reduce {_link(measured)}")
        for case in CASES:
            workload = _workload(case, costs[case.network], case.batch // 2)
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
                "runs": rates,
                "trained": trained_on(hosts, source, Path(tempfile.mkdtemp(dir=source.parent)) / "run")
                if case is CASES[0]
                else [],
                "link": asdict(measured),
            }
            rows.append(row)
            _print(row)
    return rows


def _on_one(processes: int, turns: int, source: Path) -> dict[str, Any]:
    """`skipline train --nproc` on this host, whose cores the processes share."""
    case = CASES[0]
    way = replace(WAY, threads=available_cores())
    cost = step_cost(case, way, processes, turns=turns)
    link = measure_link(processes, turns=turns).link if processes > 1 else Link(1.0, 0.0)
    workload = _workload(case, cost, case.batch // processes)
    predicted = predict(replace(workload, overlap=0.0), Cluster(1, processes, link, link))
    row = {
        "cable": f"one host, {processes} process{'es' if processes > 1 else ''}",
        "network": case.network,
        "batch": case.batch,
        "predicted": predicted.images_per_second,
        "bound": predicted.bound,
        "runs": [],
        "trained": trained_by(processes, source, source.parent / f"{processes}-processes"),
        "link": asdict(link),
    }
    _print(row)
    return row


def _workload(case: Case, cost: StepCost, batch: int) -> Workload:
    parameters = models.spec(case.network).params
    return Workload(batch, cost.seconds_per_image, parameters, seconds_per_step=cost.seconds_per_step)


def _print(row: dict[str, Any]) -> None:
    found = [
        f"{what} {told(row[key])} ({row['predicted'] / max(row[key]) - 1:+.0%})"
        for key, what in (("runs", "steps"), ("trained", "skipline train"))
        if row[key]
    ]
    print(
        f"  {row['cable']}, {row['network']}: predicted {row['predicted']:,.1f} img/s, bound by {row['bound']}; "
        f"measured (error): {', '.join(found)}",
        flush=True,
    )


def _expected(cable: Cable, here: Link) -> Link:
    """What a planner knows: the cable's figures, on top of what the library takes over loopback."""
    bandwidth = here.bandwidth if cable.bits is None else min(here.bandwidth, cable.bits / 8 * PAYLOAD)
    return Link(bandwidth, here.latency + cable.delay)


def _link(link: Link) -> str:
    return f"{link.bandwidth / 1e6:,.1f} MB/s, {link.latency * 1e3:.3f} ms a message"


if __name__ == "__main__":
    main()
