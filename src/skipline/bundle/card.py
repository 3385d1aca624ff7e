"""The model card of a bundle: README.md as the Hugging Face Hub reads it, from measured figures alone.

Names of classes and sources come from anywhere, so they are escaped for YAML, Markdown and HTML.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skipline.data import Audio, Preprocessing
from skipline.data.kinds import IMAGES, Kind
from skipline.data.values import AnyPreprocessing, ValuePreprocessing

CARD = "README.md"
NO_LICENSE = "# license: yours to choose, such as mit or cc-by-4.0"
CLASSES_SHOWN = 200
LARGEST_CARD = 2**20  # bytes
HUB_DATASETS = {"cifar10": "uoft-cs/cifar10", "cifar100": "uoft-cs/cifar100"}
SPLITS = (
    ("test", "test {items}"),
    ("tta", "test {items}, with test-time augmentation"),
    ("train", "training {items}, at most 5,000 of them"),
)


def model_card(
    model: str,
    parameters: int,
    classes: Sequence[str],
    preprocessing: AnyPreprocessing,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
    license_lines: Sequence[str] = (),
) -> str:
    """The card as Markdown with YAML front matter.

    Args:
        model: name in the catalogue.
        parameters: their number.
        classes: K names.
        preprocessing: what lies between a file and the network.
        metrics: of a bundle; "train", "test" and "tta" are read where they are there.
        provenance: of a bundle; what is missing is left out.
        license_lines: of the front matter, as `license_of` finds them in an earlier card; a licence is the user's
            to choose.
    """
    kind = preprocessing.kind
    source = provenance.get("source")
    title = f"{model} on {source}" if isinstance(source, str) else model
    blocks = [
        _front_matter(model, title, source, metrics, license_lines, kind),
        f"# {_text(title)}",
        f"{_classifier(preprocessing)} for {len(classes):,} classes: {_text(model)}, {parameters:,} parameters, "
        "trained with skipline. This card was written from what was measured and recorded; "
        "nothing in it is estimated.",
        *_results(metrics, kind),
        *_weakest(metrics, kind),
        _use(kind),
        *_training(provenance, kind),
        _input(preprocessing),
        _classes(classes),
        _limits(metrics, source, license_lines, kind),
    ]
    return "\n\n".join(blocks) + "\n"


def license_of(card: Path) -> list[str]:
    """The lines on the licence in the front matter of an earlier card, which only a person can have written."""
    try:
        with card.open(encoding="utf-8") as file:
            text = file.read(LARGEST_CARD)
    except (OSError, ValueError):
        return []
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    lines = front[1].splitlines() if front else []
    return [line for line in lines if re.match(r"license(_name|_link)?: \S", line)]


def with_license(card: str, lines: Sequence[str]) -> str:
    """A card whose front matter states a licence; unchanged where there are no lines, or it states one already."""
    return card.replace(f"---\n{NO_LICENSE}\n", "\n".join(["---", *lines, ""]), 1) if lines else card


def _classifier(preprocessing: AnyPreprocessing) -> str:
    kind = preprocessing.kind
    if isinstance(preprocessing, ValuePreprocessing):
        return f"A classifier of {preprocessing}"
    return f"{'An' if kind is IMAGES else 'A'} {kind.one} classifier"


def _front_matter(
    model: str,
    title: str,
    source: object,
    metrics: Mapping[str, Any],
    license_lines: Sequence[str],
    kind: Kind,
) -> str:
    lines = [*license_lines] or [NO_LICENSE]
    task = kind.task or "classification"
    lines += ["library_name: skipline", *([f"pipeline_tag: {task}"] if kind.task else []), "tags:"]
    lines += [f"- {task}", "- residual-networks", f"- {_yaml(model)}"]
    dataset = source if isinstance(source, str) else "unknown"
    identifier = HUB_DATASETS.get(
        dataset, re.sub(r"[^\w.-]+", "-", dataset, flags=re.ASCII).strip("-.") or kind.many
    )
    if isinstance(source, str):
        lines += ["datasets:", f"- {_yaml(identifier)}"]
    test = _part(metrics, "test")
    top1 = _fraction(test.get("top1"))
    if top1 is not None:
        lines += [
            *("metrics:", "- accuracy", "model-index:", f"- name: {_yaml(title)}", "  results:"),
            *("  - task:", f"      type: {task}", f"      name: {task.replace('-', ' ').title()}"),
            *("    dataset:", f"      name: {_yaml(dataset)}", f"      type: {_yaml(identifier)}"),
            *("      split: test", "    metrics:", "    - type: accuracy", f"      value: {top1:.6g}"),
            f"      name: {_yaml('top-1 accuracy' + _count(test, kind))}",
        ]
    return "\n".join(["---", *lines, "---"])


def _results(metrics: Mapping[str, Any], kind: Kind) -> list[str]:
    rows = []
    for key, form in SPLITS:
        what = form.format(items=kind.many)
        part = _part(metrics, key)
        top1, loss = _fraction(part.get("top1")), part.get("loss")
        if top1 is None:
            continue
        low, high = _bounds(part.get("top1_interval"))
        interval = "" if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f} %"
        count = part.get("n")
        shown = f"{count:,}" if isinstance(count, int) else ""
        rows.append(
            f"| {what} | {shown} | {100 * top1:.2f} % | {interval} | {loss:.4f} |"
            if isinstance(loss, float)
            else f"| {what} | {shown} | {100 * top1:.2f} % | {interval} | |"
        )
    if not rows:
        return ["## Results", "No accuracy was measured when this network was saved."]
    head = f"| Measured on | {kind.many.title()} | Top-1 accuracy | 95 % interval | Cross-entropy |\n"
    head += "|---|---|---|---|---|\n"
    note = (
        f"Accuracy on training {kind.many} says how well they were learnt, not how well others will be recognised. "
        f"The interval is that of a share of so many {kind.many} (Wilson)."
    )
    return ["## Results", head + "\n".join(rows), note]


def _weakest(metrics: Mapping[str, Any], kind: Kind) -> list[str]:
    listed = _part(metrics, "test").get("weakest")
    rows = [
        f"| {_text(score['name'])} | {score['n']:,} | {100 * score['recall']:.1f} % |"
        for score in (listed if isinstance(listed, list) else [])
        if isinstance(score, Mapping)
        and isinstance(score.get("name"), str)
        and isinstance(score.get("n"), int)
        and _fraction(score.get("recall")) is not None
    ]
    if not rows:
        return []
    head = f"| Class | Test {kind.many} | Recall |\n|---|---|---|\n"
    return ["The classes that were recognised least often:", head + "\n".join(rows)]


def _use(kind: Kind) -> str:
    return f"""## Use

```sh
pip install skipline
skipline predict FOLDER_OF_THIS_CARD {kind.example}
```

```python
import skipline

bundle = skipline.load("FOLDER_OF_THIS_CARD")
print(bundle.predict(["{kind.example}"])[0].class_name)
```

Weights are in `weights.safetensors`, everything else in `bundle.json`; neither can run code."""


def _training(provenance: Mapping[str, Any], kind: Kind) -> list[str]:
    names = {
        "source": kind.many.title(),
        "fingerprint": f"Fingerprint of the {kind.many} (SHA-256)",
        "split_seed": f"Seed of the split into training and test {kind.many}",
        "recipe": "Recipe",
        "seed": "Seed of weights, order and augmentation",
        "trained": "Date",
        "precision": "Computed in",
        "cpu": "Processor",
        "torch": "PyTorch",
        "skipline": "skipline",
    }
    rows = [
        f"| {what} | {_text(str(provenance[key])[:200])} |"
        for key, what in names.items()
        if isinstance(provenance.get(key), str | int)
    ]
    return ["## Training", "| What | Value |\n|---|---|\n" + "\n".join(rows)] if rows else []


def _input(preprocessing: AnyPreprocessing) -> str:
    p = preprocessing
    if isinstance(p, ValuePreprocessing):
        mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (p.mean, p.std))
        return (
            f"## Input\n\n{str(p).capitalize()}, and (value - mean) / std computed per channel with mean {mean} and "
            f"std {std}."
        )
    if p.audio is not None:
        return _heard(p, p.audio)
    mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (p.mean, p.std))
    colour = {1: "grey", 3: "RGB", 4: "RGB + alpha"}.get(p.channels, f"{p.channels} channels")
    return (
        f"## Input\n\nImages in {colour}: the short side is resized to {p.stored} pixels, the centre of "
        f"{p.side} x {p.side} cut out, and (pixel / 255 - mean) / std computed with mean {mean} and std {std}."
    )


def _heard(preprocessing: Preprocessing, audio: Audio) -> str:
    seconds = audio.mels * audio.hop / audio.sample_rate
    return (
        f"## Input\n\nSounds of any length, mono at {audio.sample_rate:,} Hz, as a mel spectrogram: {audio.mels} bands "
        f"from {audio.f_min:g} to {audio.highest:g} Hz (Slaney), Fourier transforms of {audio.n_fft} samples every "
        f"{audio.hop}, power in dB from 0, the loudest moment of the file, to -{audio.top_db:g}. The network sees "
        f"windows of {audio.mels} frames ({seconds:.3g} s); the logits of a file's windows are averaged. Pixels are "
        f"(byte / 255 - {preprocessing.mean[0]:.4f}) / {preprocessing.std[0]:.4f}."
    )


def _classes(classes: Sequence[str]) -> str:
    names = ", ".join(map(_text, classes[:CLASSES_SHOWN]))
    more = (
        f" and {len(classes) - CLASSES_SHOWN:,} more (see bundle.json)"
        if len(classes) > CLASSES_SHOWN
        else ""
    )
    return f"## Classes\n\n{names}{more}"


def _limits(metrics: Mapping[str, Any], source: object, license_lines: Sequence[str], kind: Kind) -> str:
    test = _part(metrics, "test")
    shows = "shows" if kind is IMAGES else "belongs to"
    lines = [f"Every {kind.one} is given one of these classes, also one that {shows} none of them."]
    if _fraction(test.get("top1")) is not None and isinstance(source, str):
        lines.append(
            f"The figures hold for {kind.many} like the held-out ones of {_text(source)}; on {kind.many} of another "
            f"{kind.recorder}, place or time they were not measured."
        )
    else:
        lines.append("How often it is right was not measured.")
    if not license_lines:
        lines.append("No licence was stated; the first line of this card is the place for it.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _part(metrics: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = metrics.get(key)
    return part if isinstance(part, Mapping) else {}


def _fraction(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def _bounds(value: object) -> tuple[float | None, float | None]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None, None
    return _fraction(value[0]), _fraction(value[1])


def _count(part: Mapping[str, Any], kind: Kind) -> str:
    count = part.get("n")
    return f" on {kind.counted(count)}" if isinstance(count, int) else ""


def _plain(text: str) -> str:
    """On one line and without halves of surrogate pairs, which no file can hold."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


def _yaml(text: str) -> str:
    """A YAML scalar: JSON's texts are YAML's in double quotes."""
    return json.dumps(_plain(text), ensure_ascii=False)


def _text(text: str) -> str:
    """Text in Markdown, with nothing in it that Markdown or HTML would take for their own."""
    return re.sub(r"([\\`*_\[\]|~#$])", r"\\\1", html.escape(_plain(text), quote=False))
