"""What passing through says: arms, claims by intervals, charts and the pictures on their way."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from skipline.report.panels import ImagesPanel, LinesPanel, Panel, Picture, TablePanel
from skipline.storage import write_atomically
from skipline.studies.decisions import decided_ratio
from skipline.studies.passage import Kind
from skipline.studies.spread import ratio, span
from skipline.studies.study import Arm, Claim, Outcome, decided

KINDS: tuple[Kind, ...] = ("plain", "residual")
Stacks = Mapping[Kind, Mapping[int, Sequence[Mapping[str, Any]]]]
"""Kind, layers, one result a seed."""
Chains = Sequence[Mapping[str, Any]]
"""One a seed: shallow, start, shallow continued, constructed continued, scratch."""

STACKED = "He et al. 2015, section 3.1"
CONSTRUCTED = "He et al. 2015, section 1"
KEPT = 0.01  # a network has kept an accuracy if it lies no more than a point below
SMALLEST = 1e-6
FOLDER = "pictures"


def log_distortion(result: Mapping[str, Any]) -> float:
    """Natural logarithm of the distortion at the end."""
    return math.log(max(SMALLEST, result["end"]))


def arms(
    stacks: Stacks, chains: Chains, shallow: str, deep: str, sizes: Mapping[str, tuple[int, int]]
) -> list[Arm]:
    """The stacks, then the networks of the construction; `sizes` are their parameters and multiply-adds."""
    found = [
        Arm(
            f"{kind}, {count} layers",
            "stack that learns the identity" + (", with shortcuts" if kind == "residual" else ""),
            {"distortion": [result["end"] for result in seeds]},
            params=seeds[0]["params"],
        )
        for kind, by_layers in stacks.items()
        for count, seeds in by_layers.items()
    ]
    for key, model, words in (
        ("shallow", shallow, f"{shallow}, trained"),
        ("shallow continued", shallow, f"{shallow}, trained on"),
        ("constructed continued", deep, f"{deep} constructed from {shallow}, trained on"),
        ("scratch", deep, f"{deep} from fresh weights, as many epochs in all"),
    ):
        results = {
            f"{part} top-1": [chain[key][part]["top1"] for chain in chains] for part in ("train", "test")
        }
        found.append(Arm(key, words, results, *sizes[model]))
    return found


def claims(stacks: Stacks, chains: Chains, shallow: str, deep: str, name: str) -> list[Claim]:
    """The table of claims; `name` is the source's."""
    first, last = min(stacks["plain"]), max(stacks["plain"])
    growth = _log_ratios(stacks["plain"][last], stacks["plain"][first])
    cure = _log_ratios(stacks["plain"][last], stacks["residual"][last])
    kept = [_top1(chain, "constructed continued") - _top1(chain, "shallow continued") for chain in chains]
    lost = [_top1(chain, "constructed continued") - _top1(chain, "scratch") for chain in chains]
    return [
        _ratio_claim(
            f"on {name}, without shortcuts, {last} layers distort an image more than {first}",
            "solvers might have difficulties in approximating identity mappings by multiple nonlinear layers",
            growth,
        ),
        _ratio_claim(
            f"on {name}, {last} layers distort an image less with shortcuts than without",
            "if identity mappings are optimal, residual weights may simply be driven to zero",
            cure,
        ),
        _start(chains, shallow, deep),
        Claim(
            f"{deep} from fresh weights ends with lower training accuracy than {deep} constructed from {shallow}",
            CONSTRUCTED,
            "solvers do not find solutions as good as the constructed one",
            f"constructed {100 * fmean(lost):+.1f} points higher",
            *decided(lost),
        ),
        Claim(
            f"training does not spoil the construction: {deep} from {shallow} ends at most a point of training "
            f"accuracy below {shallow} trained on",
            "this study's own question",
            "",
            f"constructed {100 * fmean(kept):+.1f} points against {shallow} trained on; holds above -1",
            *decided(kept, above=-KEPT),
        ),
    ]


def _log_ratios(more: Sequence[Mapping[str, Any]], less: Sequence[Mapping[str, Any]]) -> list[float]:
    return [log_distortion(a) - log_distortion(b) for a, b in zip(more, less, strict=True)]


def _ratio_claim(statement: str, published: str, logarithms: Sequence[float]) -> Claim:
    measured = f"{ratio(logarithms)} the distortion; holds above 1"
    return Claim(statement, STACKED, published, measured, *decided_ratio(logarithms))


def _start(chains: Chains, shallow: str, deep: str) -> Claim:
    """Nothing varies here: equal is equal for every seed, or the claim fails."""
    equal = all(chain["start"]["agreement"] == 1.0 for chain in chains)
    difference = max(chain["start"]["difference"] for chain in chains)
    outcome: Outcome = "holds" if equal else "does not hold"
    return Claim(
        f"{deep} constructed from {shallow} starts as the same function",
        CONSTRUCTED,
        "the deeper network should have no higher training error",
        f"{100 * min(chain['start']['agreement'] for chain in chains):.1f} % of test images answered alike, logits "
        f"differ by at most {difference:.1e}",
        None,
        outcome,
    )


def _top1(chain: Mapping[str, Any], key: str) -> float:
    value: float = chain[key]["train"]["top1"]
    return value


def panels(stacks: Stacks, chains: Chains, shallow: str, deep: str, folder: Path) -> list[Panel]:
    """Charts, pictures (written below the folder) and a table."""
    return [
        _distortions(stacks),
        _passing(stacks, folder),
        _going_on(chains, shallow, deep),
        _numbers(chains, shallow, deep),
    ]


def _distortions(stacks: Stacks) -> LinesPanel:
    counts = sorted(stacks["plain"])
    constant = stacks["plain"][counts[0]][0]["constant"]
    series = []
    for index, kind in enumerate(KINDS):
        seeds = range(len(stacks[kind][counts[0]]))
        rows = [[stacks[kind][count][seed]["end"] for count in counts] for seed in seeds]
        series.append(span(kind, counts, rows, dashed=kind == "plain", color=index))
    return LinesPanel(
        title="How much an image is distorted after training, by depth",
        explanation=(
            "Relative distortion ||f(x) - x|| / ||x|| of test images after the same number of steps; bands span the "
            "seeds. 0 would be perfect; the dotted line is what answering with the mean image gives.",
            "Without shortcuts every layer has to learn to pass on what it gets; with them the blocks only have to "
            "learn to stay silent. Both have BN in every layer and the same number of parameters.",
        ),
        x_label="3x3 layers",
        y_label="relative distortion",
        log_y=True,
        series=tuple(series),
        level=(constant, "mean image"),
    )


def _passing(stacks: Stacks, folder: Path) -> ImagesPanel:
    rows = []
    for count in sorted(stacks["plain"]):
        for kind in KINDS:
            result = stacks[kind][count][0]
            pictures = []
            for place, (caption, content) in enumerate(result["pictures"]):
                file = f"{FOLDER}/{kind}-{count}-{place}.png"
                _write(folder / file, base64.b64decode(content))
                pictures.append(Picture(file=file, caption=caption))
            rows.append(
                (f"{kind}, {count} layers: distortion {result['end']:.3f} (all test images)", tuple(pictures))
            )
    return ImagesPanel(
        title="One test image on its way through",
        explanation=(
            "The first test image as it is given, after some of the layers and as it comes out; first seed. What is "
            "shown inside is the mean over the channels that began as copies, stretched to full contrast.",
            "Only the output was trained to look like the input: a plain stack is free to code the image in between.",
        ),
        rows=tuple(rows),
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(content))


def _going_on(chains: Chains, shallow: str, deep: str) -> LinesPanel:
    before = len(chains[0]["shallow"]["epochs"])
    series = []
    for color, (key, words, first) in enumerate(
        (
            ("shallow", shallow, 1),
            ("shallow continued", f"{shallow}, trained on", before + 1),
            ("constructed continued", f"{deep} constructed, trained on", before + 1),
            ("scratch", f"{deep} from fresh weights", 1),
        )
    ):
        rows = [chain[key]["epochs"] for chain in chains]
        x = [first + i for i in range(len(rows[0]))]
        series.append(span(words, x, rows, factor=100, dashed=key == "scratch", color=color))
    return LinesPanel(
        title="Training accuracy: constructed and from fresh weights",
        explanation=(
            "Accuracy on the training batches of each epoch; bands span the seeds. The constructed network begins as "
            "the same function as the trained shallow one, with identity layers added.",
            "Both deep networks can represent the same functions. Where only the one from fresh weights stays behind, "
            "it is the search that fails, not the network.",
        ),
        x_label="epoch",
        y_label="training accuracy",
        unit=" %",
        series=tuple(series),
    )


def _numbers(chains: Chains, shallow: str, deep: str) -> TablePanel:
    def percent(values: Sequence[float]) -> str:
        return f"{100 * fmean(values):.1f}"

    rows = [
        (
            f"{deep} constructed, before training",
            percent([chain["start"]["train"]["top1"] for chain in chains]),
            "",
        )
    ]
    for key, words in (
        ("shallow", shallow),
        ("shallow continued", f"{shallow}, trained on"),
        ("constructed continued", f"{deep} constructed, trained on"),
        ("scratch", f"{deep} from fresh weights"),
    ):
        parts = [percent([chain[key][part]["top1"] for chain in chains]) for part in ("train", "test")]
        rows.append((words, parts[0], parts[1]))
    return TablePanel(
        title="Accuracy at the end",
        explanation=("Mean over the seeds, measured on unchanged images after training.",),
        headings=("network", "training accuracy, %", "test accuracy, %"),
        rows=tuple(rows),
    )
