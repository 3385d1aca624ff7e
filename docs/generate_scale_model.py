"""Write docs/scale-model.md from docs/results/bench/scale-model.json and hosts.json.

python docs/generate_scale_model.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from skipline.bench.cost_model import Cluster, Link, Workload, bandwidth_for, predict
from skipline.bench.cost_model.published import IMAGE_BYTES, IMAGES, MACHINES

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "bench"
SIZES = (8, 64, 512)  # GPUs
BATCH = 256  # images of a GPU
NODES = (1, 8, 64)  # hosts of processors
NODE_BATCH = 16
ETHERNET = Link(0.94 * 10e9 / 8, 50e-6)
SLOW = Link(0.94 * 1e9 / 8, 50e-6)
BUSY = 0.5  # processes: from here on a machine was not left alone
Values = dict[str, Any]

HEAD = """\
# The cost model

Written by `docs/generate_scale_model.py` from [results/bench](results/bench); no figure is typed by hand. How to train
on many processes is in [scale.md](scale.md); this page says what to expect of it, and how far the expectation can be
trusted.

## Formulae

Synchronous data-parallel training: every one of n processes computes the gradients of its b images, all add them up,
and all take the same step.

    compute = seconds a step + b x seconds an image
    network = 2 (n - 1) / n x gradient bytes / bandwidth + buckets x messages x latency
    exposed = max(network - overlap x 2/3 x b x seconds an image, network / buckets)
    step    = max(compute + exposed, b x processes a host x decode seconds / decoding cores)
    images a second = n x b / step          efficiency = compute / step

A ring has 2 (n - 1) messages one after the other; NCCL also has trees with 2 log2 n, and the faster counts. The bound
is the longest of computing, network and decoding: what to improve first."""

ASSUMPTIONS = (
    (
        "Assumption",
        "Source",
        "Where it fails",
    ),
    (
        "All processes are equally fast",
        "the model has no stragglers",
        "a busy or throttled machine holds all others up",
    ),
    (
        "The backward pass is 2/3 of a step's computing",
        "two products of the size of the forward pass's one",
        "memory-bound layers",
    ),
    (
        "Gradients travel in equal buckets of 25 MiB while the backward pass goes on; the last never hides",
        "`bucket_cap_mb` of torch's DistributedDataParallel",
        "its first bucket is smaller (1 MiB)",
    ),
    (
        "`overlap` is 1 where a network card does the sending, 0 where the processes use all cores "
        "of one host",
        "gloo copies and adds on the processor",
        "CPU clusters lie between",
    ),
    (
        "Bandwidth is what an all-reduce reaches, protocol included",
        'measured, or "bus bandwidth" of nccl-tests',
        "shared switches",
    ),
    (
        "Images are prepared while the step before computes",
        "skipline's input does",
        "the first step of an epoch",
    ),
    (
        "Evaluation, checkpoints and the start are not in it",
        "rates are those of training steps",
        "short runs",
    ),
    (
        "The global batch grows with n",
        "b is what a process gets",
        "accuracy: a rate and warm-up for large batches are a matter of the recipe",
    ),
)

PLAN = """\
## Your own machines

Measure one process, or take its published rate, and ask:

```python
from skipline.bench.cost_model import Cluster, Link, Workload, bandwidth_for, predict

cluster = Cluster(hosts=4, per_host=8, inside=Link(200e9, 5e-6), between=Link(10e9, 2e-5), cores=64, trees=True)
workload = Workload(
    batch=256, seconds_per_image=1 / 2470, parameters=25_557_032, image_bytes=117e3, decode_seconds=0.005
)
found = predict(workload, cluster)
print(f"{found.images_per_second:,.0f} images/s, efficiency {found.efficiency:.0%}, bound by {found.bound}")
print(f"each host reads {found.read / 1e6:,.0f} MB/s; needs {bandwidth_for(workload, cluster) / 1e9:.1f} GB/s between")
```

`skipline bench scale --part model` measures seconds of a step, the link over loopback and the decoding of photos on
your machine."""


def page(folder: Path) -> str:
    """The page.

    Args:
        folder: holds scale-model.json and, where two hosts were measured, hosts.json.
    """
    values = json.loads((folder / "scale-model.json").read_text(encoding="utf-8"))
    inputs = values["model_inputs"]
    assumptions = _table([list(ASSUMPTIONS[0]), ["---"] * 3, *map(list, ASSUMPTIONS[1:])])
    parts = [
        HEAD,
        assumptions,
        *_measured(values, inputs),
        *_gpus(inputs),
        *_processors(inputs),
        *_one_host(inputs),
    ]
    for name in ("scale-processes", "scale-failure"):
        path = folder / f"{name}.json"
        parts += _compared(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []
    hosts = folder / "hosts.json"
    if hosts.is_file():
        parts += _two_hosts(json.loads(hosts.read_text(encoding="utf-8")))
    cut = folder / "hosts-cut.json"
    if cut.is_file():
        parts += _cut(json.loads(cut.read_text(encoding="utf-8")))
    return "\n\n".join([*parts, PLAN]) + "\n"


def _measured(values: Values, inputs: Values) -> list[str]:
    machine, images = values["machine"], inputs["images"]
    rows = [
        ["Network", "Side", "Processes", "Threads of each", "ms an image", "ms a step", "Images/s of all"]
    ]
    rows.append(["---", *["---:"] * 6])
    for step in inputs["steps"]:
        batch, seconds = max((int(batch), taken) for batch, taken in step["seconds"].items())
        rows.append(
            [
                step["network"],
                str(step["side"]),
                str(step["processes"]),
                str(step["threads"]),
                f"{1e3 * step['seconds_per_image']:.2f}",
                f"{1e3 * step['seconds_per_step']:.1f}",
                f"{step['processes'] * batch / seconds:,.1f}",
            ]
        )
    links = ", ".join(
        f"{link['link']['bandwidth'] / 1e6:,.0f} MB/s and {1e6 * link['link']['latency']:,.0f} us a message between "
        f"{link['processes']} processes"
        for link in inputs["links"]
    )
    return [
        "## Measured here",
        f"    {values['command']}",
        f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, {values['measured']}; {inputs['way']}."
        f"{_busy(values)} "
        "Seconds of a step without a network between the processes, which train beside each other: the processor's "
        "time, times the processes that share a core; lines through two "
        "batches; of several turns the fastest counts, here and in all checks, and the range is given.",
        _table(rows),
        f"gloo all-reduce over loopback: {links}. A photo of {images['bytes'] / 1e3:,.0f} kB takes one core "
        f"{1e3 * images['seconds']:.2f} ms to decode and bring to 256 x 256, {1 / images['seconds']:,.0f} a second.",
    ]


def _gpus(inputs: Values) -> list[str]:
    decode = inputs["images"]["seconds"]
    parts = [
        "## resnet50 on ImageNet: GPUs",
        f"Batch {BATCH} a GPU; decoding takes a core as long as here ({1e3 * decode:.1f} ms), on all cores of a host; "
        f"an epoch has {IMAGES:,} images of {IMAGE_BYTES / 1e3:.0f} kB. *Stored*: the images lie decoded in memory or "
        "on disk, so that cores do not matter.",
    ]
    rows = [
        [
            "GPUs",
            "Images/s, stored",
            "Efficiency",
            "Images/s, decoding",
            "Bound",
            "An epoch",
            "Sent by a host",
            "Needed for 90 %",
            "Read by a host",
        ],
        ["---:"] * 9,
    ]
    for machine in MACHINES:
        body = [*rows]
        for gpus in SIZES:
            stored = predict(machine.workload(BATCH), machine.cluster(gpus))
            decoded = predict(machine.workload(BATCH, decode), machine.cluster(gpus, machine.cores))
            needed = bandwidth_for(machine.workload(BATCH), machine.cluster(gpus))
            body.append(
                [
                    str(gpus),
                    f"{stored.images_per_second:,.0f}",
                    f"{stored.efficiency:.0%}",
                    f"{decoded.images_per_second:,.0f}",
                    decoded.bound,
                    f"{IMAGES / decoded.images_per_second:,.1f} s",
                    _rate(stored.sent),
                    _rate(needed),
                    _rate(decoded.read),
                ]
            )
        per_image, per_step = machine.step
        parts += [
            f"**{machine.name}**, {machine.software}: {1e3 * per_image:.3f} ms an image, {1e3 * per_step:.2f} ms a "
            "step.",
            _table(body),
            "\n".join(f"- {source}." for source in machine.sources),
        ]
    return [*parts, "### Against published rates", _published(decode), _misses(decode)]


def _misses(decode: float) -> str:
    a100 = MACHINES[0]
    (published,) = a100.checked
    predicted = predict(a100.workload(published.batch), a100.cluster(published.gpus)).images_per_second
    a_core = a100.cores / published.images_per_second
    return (
        "The line through the rates of 8 and 64 H100 foretells those of 512. For 8 A100 the model is "
        f"{predicted / published.images_per_second - 1:.0%} too high: that run decoded with PyTorch's workers on the "
        "processors (`data_backend: pytorch`, 16 workers a GPU). If that is the reason, an image took a core "
        f"{1e3 * a_core:.1f} ms; ours takes {1e3 * decode:.1f} ms, without a worker's other work. The model cannot "
        "tell. MLPerf's runs decode on the GPUs, so their rates are to be compared with *Stored*; they are of MXNet "
        "with fused kernels: PyTorch's are not published with their batch, and will be lower. Small batches cost far "
        "more than networks do: 50 images a GPU give two thirds of the rate of 400."
    )


def _published(decode: float) -> str:
    rows = [["GPUs", "Batch a GPU", "Published", "Stored", "Error", "Decoding", "Error", "Used for the line"]]
    rows.append(["---"] + ["---:"] * 6 + ["---"])
    for machine in MACHINES:
        for one in (*machine.fitted, *machine.checked):
            stored = predict(machine.workload(one.batch), machine.cluster(one.gpus)).images_per_second
            decoded = predict(
                machine.workload(one.batch, decode), machine.cluster(one.gpus, machine.cores)
            ).images_per_second
            rows.append(
                [
                    f"{one.gpus} {machine.name}",
                    str(one.batch),
                    f"[{one.images_per_second:,.0f}]({one.source})",
                    f"{stored:,.0f}",
                    f"{stored / one.images_per_second - 1:+.0%}",
                    f"{decoded:,.0f}",
                    f"{decoded / one.images_per_second - 1:+.0%}",
                    "yes" if one in machine.fitted else "no",
                ]
            )
    return _table(rows)


def _processors(inputs: Values) -> list[str]:
    step = next(s for s in inputs["steps"] if s["network"] == "resnet50")
    inside = next(Link(**one["link"]) for one in inputs["links"] if one["processes"] == step["processes"])
    workload = Workload(
        NODE_BATCH,
        step["seconds_per_image"],
        inputs["parameters"]["resnet50"],
        seconds_per_step=step["seconds_per_step"],
        image_bytes=IMAGE_BYTES,
    )
    rows = [
        ["Hosts", "Link", "Images/s", "Efficiency", "Bound", "Network of a step", "Hidden", "Needed for 90 %"]
    ]
    rows.append(["---:", "---", *["---:"] * 2, "---", *["---:"] * 3])
    for hosts in NODES:
        for name, link in (("10 Gbit/s", ETHERNET), ("1 Gbit/s", SLOW)):
            cluster = Cluster(hosts, step["processes"], inside, link)
            found = predict(workload, cluster)
            rows.append(
                [
                    str(hosts),
                    name,
                    f"{found.images_per_second:,.1f}",
                    f"{found.efficiency:.0%}",
                    found.bound,
                    f"{found.network:.2f} of {found.step:.2f} s",
                    f"{1 - found.exposed / found.network:.0%}" if found.network else "-",
                    _rate(bandwidth_for(workload, cluster)),
                ]
            )
    return [
        "## resnet50 on ImageNet: hosts like this one",
        f"{step['processes']} processes a host with a thread each, batch {NODE_BATCH} each, images stored decoded; 94 "
        "% of the link's rate and 50 us a message; sending is taken to cost the processor nothing.",
        _table(rows),
    ]


def _one_host(inputs: Values) -> list[str]:
    if "together" not in inputs:
        return []
    links = {link["processes"]: Link(**link["link"]) for link in inputs["links"]}
    rows = [["Network", "Processes", "Images of each", "Predicted", "Measured", "Error"]]
    rows.append(["---", *["---:"] * 5])
    errors = []
    for one in inputs["together"]:
        step = next(
            s for s in inputs["steps"] if (s["network"], s["processes"]) == (one["network"], one["processes"])
        )
        workload = Workload(
            one["batch"],
            step["seconds_per_image"],
            inputs["parameters"][one["network"]],
            seconds_per_step=step["seconds_per_step"],
            overlap=0.0,
        )
        link = links.get(one["processes"], Link(1.0, 0.0))
        predicted = predict(workload, Cluster(1, one["processes"], link, link)).images_per_second
        errors.append(predicted / one["images_per_second"] - 1)
        rows.append(
            [
                one["network"],
                str(one["processes"]),
                str(one["batch"]),
                f"{predicted:,.1f}",
                f"{one['images_per_second']:,.1f} {_range(one['runs'])}",
                f"{errors[-1]:+.0%}",
            ]
        )
    return [
        "## Checked: processes on one host",
        "Steps of the table above put together with the all-reduce over loopback (`overlap` 0), against the same steps "
        "with DistributedDataParallel; images/s of all processes.",
        _table(rows),
        f"Errors from {min(errors):+.0%} to {max(errors):+.0%}.",
    ]


def _two_hosts(values: Values) -> list[str]:
    heads = ["Network", "Global batch", "Predicted", "Bound", "Steps", "Error", "`skipline train`", "Error"]
    rows = [["Cable", *heads, "All-reduce alone"], ["---", "---", *["---:"] * 2, "---", *["---:"] * 5]]
    for row in values["rows"]:
        link = f"{row['link']['bandwidth'] / 1e6:,.1f} MB/s, {1e3 * row['link']['latency']:.2f} ms"
        rows.append([row["cable"], *_checked(row), link])
    alone = [["Processes", *heads], ["---", "---", *["---:"] * 2, "---", *["---:"] * 4]]
    alone += [[row["cable"], *_checked(row)] for row in values["one_host"]]
    machine = values["machine"]
    return [
        "## Checked: two hosts, and `skipline train`",
        f"    {values['command']}",
        "Two network namespaces joined by a cable whose bandwidth tc limits and whose delay a relay adds "
        "(`benchmarks/hosts.py`, root only), a process of one thread on each; "
        f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, {values['way']}, {values['measured']}."
        f"{_busy(values)} "
        "Predicted from the step without a network and the cable's two figures (`overlap` 1). *Steps* are those of the "
        "table above, `skipline train` whole epochs of a run under torchrun.",
        _table(rows),
        "`skipline train --nproc N` on one host, global batch the same for every N (`overlap` 0):",
        _table(alone),
    ]


def _cut(values: Values) -> list[str]:
    rows = [
        ["Run", "Exit of both hosts", "Seconds", "Last step", "Repeated", "Went on from", "Longest pause"]
    ]
    rows.append(["---", "---:", "---:", "---:", "---:", "---:", "---:"])
    names = {
        "whole": "no cut",
        "cut": "cut, `distributed.timeout` 300 s (default)",
        "cut-short-timeout": f"cut, `distributed.timeout` {values['timeout']} s",
    }
    for key, name in names.items():
        run = values["runs"][key]
        rows.append(
            [
                name,
                " and ".join(map(str, run["statuses"])),
                f"{run['seconds']:,.0f}",
                str(run["last"]),
                str(run["repeated"]),
                " and ".join(map(str, run["resumed_at"])) or "-",
                f"{run['longest_pause']:.1f} s",
            ]
        )
    return [
        f"## A cable that is out for {values['seconds']:g} seconds",
        f"    {values['command']}",
        f"resnet20 on digits, two hosts as above with {values['cable']}, torchrun on each, a checkpoint every "
        f"{values['checkpoint_every']} steps; what the run's events say ({values['measured']}).",
        _table(rows),
        "Within the timeout training waits and goes on, nothing is lost or done twice. The pause is longer than the "
        "cut: TCP doubles the time between its tries while nothing is acknowledged, so the next try may come as late "
        "again as the cut was long. Beyond the timeout the attempt ends with a named error, torchrun begins anew when "
        "both hosts are there, and training goes on from the last checkpoint to the same last step.",
    ]


def _checked(row: Values) -> list[str]:
    cells = [row["network"], str(row["batch"]), f"{row['predicted']:,.1f}", row["bound"]]
    for key in ("runs", "trained"):
        rates = row[key]
        cells.append(f"{max(rates):,.1f} {_range(rates)}" if rates else "")
        cells.append(f"{row['predicted'] / max(rates) - 1:+.0%}" if rates else "")
    return cells


def _compared(values: Values) -> list[str]:
    """Processes against threads, and a run with a failure."""
    parts = []
    steps = [row for row in values["rows"] if row.get("unit") == "images/s"]
    if steps:
        rows = [
            ["Step", "2 processes of 1 thread", "1 process of 2 threads", "Efficiency"],
            ["---", *["---:"] * 3],
        ]
        for row in steps:
            low, high = row["ratio_range"]
            rows.append(
                [
                    row["what"].partition(":")[0],
                    *(f"{median(side):,.1f} {_range(side)}" for side in zip(*row["runs"], strict=True)),
                    f"{row['ratio']:.2f} [{low:.2f}, {high:.2f}]",
                ]
            )
        parts += [
            "## Processes against threads",
            f"    {values['command']}",
            "The same step, the same global batch, in turn; images/s, medians and ranges of the turns. Above 1 the "
            f"processes do more.{_busy(values)}",
            _table(rows),
        ]
    for row in values["rows"]:
        notes = row.get("notes", {})
        if "seconds_lost" in notes:
            killed, whole = (f"{median(side):.1f} s" for side in zip(*row["runs"], strict=True))
            parts += [
                "## What a failure costs",
                f"    {values['command']}",
                f"{row['what'][:1].upper()}{row['what'][1:]} ({notes['killed']}, a checkpoint every "
                f"{notes['checkpoint_every']} steps; {len(row['runs'])} runs): {notes['seconds_to_next_step']:.1f} s "
                f"from the kill to the next step, {notes['seconds_lost']:.1f} s until all was as before, "
                f"{notes['steps_repeated']:.0f} steps repeated. The whole command takes {killed}, without a kill "
                f"{whole}.",
            ]
    return parts


def _busy(values: Values) -> str:
    load = values.get("load_before")
    if load is None or load < BUSY:
        return ""
    return f" The load just before was {load:.1f}: where other work went on, rates by the clock are too low."


def _range(runs: Sequence[float]) -> str:
    return f"[{min(runs):,.1f}, {max(runs):,.1f}]"


def _rate(value: float | None) -> str:
    if value is None:
        return "no bandwidth is enough"
    return (
        "nothing"
        if value == 0
        else f"{value / 1e9:,.2f} GB/s"
        if value >= 1e8
        else f"{value / 1e6:,.1f} MB/s"
    )


def _table(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


if __name__ == "__main__":
    (HERE / "scale-model.md").write_text(page(RESULTS), encoding="utf-8")
    print("docs/scale-model.md")
