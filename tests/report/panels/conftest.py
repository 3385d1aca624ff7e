"""Studies and diagnoses as they are written, made up: every figure is known, nothing is trained. And a parser."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from sklearn.datasets import load_digits


class Made:
    """Makes folders of studies and diagnoses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def study(self, name: str = "study", **changes: Any) -> Path:
        """A folder with study.json, one panel of each kind, and pictures; changes replace values of it."""
        folder = self._folder / name
        (folder / "pictures").mkdir(parents=True)
        for depth in (0, 1):
            pixels = (load_digits().images[3] * 15).astype(np.uint8) // (depth + 1)
            Image.fromarray(pixels).save(folder / "pictures" / f"{depth}.png")
        (folder / "study.json").write_text(json.dumps(study_values() | changes))
        return folder

    def diagnosis(self, name: str = "diagnosis", **changes: Any) -> Path:
        """A folder with diagnosis.json of a deep plain network; changes replace values of it."""
        folder = self._folder / name
        folder.mkdir(parents=True)
        (folder / "diagnosis.json").write_text(json.dumps(diagnosis_values() | changes))
        return folder

    def reading(self, step: int, layers: int = 20, *, slope: float = 0.12) -> dict[str, Any]:
        """See `reading_values`."""
        return reading_values(step, layers, slope=slope)


class Fragment(HTMLParser):
    """HTML as a browser's parser sees it: elements, texts, the charts' JSON and the tables' cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.tables: list[list[list[str]]] = []
        self._texts: list[str] = []
        self._inside: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside += [] if tag in ("meta", "link", "img", "input") else [tag]
        if tag == "script":
            self.scripts.append("")
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1] == "script":
            self.scripts[-1] += data
        elif not self._inside or self._inside[-1] != "style":
            self._texts.append(data)
            if {"td", "th"} & set(self._inside):
                self.tables[-1][-1][-1] += data.replace("\N{NO-BREAK SPACE}", " ")

    @property
    def text(self) -> str:
        return "".join(self._texts).replace("\N{NO-BREAK SPACE}", " ")

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def figures(self) -> list[dict[str, Any]]:
        kinds = self.all("script")
        return [json.loads(text) for text, kind in zip(self.scripts, kinds, strict=True) if kind.get("type")]


@pytest.fixture
def parsed() -> Callable[[str], Fragment]:
    """The parser."""
    return Fragment


@pytest.fixture
def valid() -> Callable[[Mapping[str, Any]], Any]:
    """Plotly's own check of every property and value of a chart's JSON."""

    def painted(value: Any) -> Any:
        if isinstance(value, dict):
            return "#123456" if set(value) == {"$color"} else {key: painted(v) for key, v in value.items()}
        return [painted(inner) for inner in value] if isinstance(value, list | tuple) else value

    def check(figure: Mapping[str, Any]) -> Any:
        return go.Figure(data=painted(figure["data"]), layout=painted(figure["layout"]))

    return check


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Studies and diagnoses in the test's own folder."""
    return Made(tmp_path)


MACHINE = {"cpu": "AMD EPYC 7B13", "cores": 2, "memory_gib": 23.5, "gpu": None, "skipline": "0.1.0"}


def study_values() -> dict[str, Any]:
    """study.json of a study on degradation: 3 seeds, 2 arms, 3 claims, one panel of each kind."""
    epochs = list(range(1, 11))
    deep = [round(100 * (1 - math.exp(-epoch / 3)), 2) for epoch in epochs]
    plain = [round(0.62 * value, 2) for value in deep]
    side = [round(-1 + i / 10, 2) for i in range(21)]
    sentences = ["What is shown, in a sentence of ordinary length.", "Healthy: the lines rise together."]

    def band(name: str, values: Sequence[float], **more: Any) -> dict[str, Any]:
        edges = {"low": [v - 3 for v in values], "high": [v + 3 for v in values]}
        return {"name": name, "x": epochs, "y": list(values), **edges, **more}

    layers = [f"stages.{i // 6}.{i % 6}.conv1" for i in range(18)]
    panels = [
        {
            "kind": "lines",
            "title": "Training accuracy",
            "x_label": "epoch",
            "y_label": "accuracy",
            "unit": " %",
            "series": [band("resnet56", deep), band("plain56", plain, dashed=True)],
        },
        {
            "kind": "bars",
            "title": "Gradients",
            "categories": layers,
            "y_label": "|dL/dW|",
            "log": True,
            "frames": [
                {"name": f"step {100 * t}", "values": {"norm": [10 ** (-i / (4 + t)) for i in range(18)]}}
                for t in range(4)
            ],
        },
        {
            "kind": "heat",
            "title": "Correlation",
            "columns": ["8", "16", "32"],
            "rows": layers[:6],
            "x_label": "depth",
            "y_label": "layer",
            "value_label": "norm",
            "log": True,
            "z": [[10.0 ** (j - i) if (i, j) != (2, 1) else None for j in range(3)] for i in range(6)],
        },
        {
            "kind": "surface",
            "title": "Loss around the minimum",
            "x": side,
            "y": side,
            "z": [[0.1 + x * x + 2 * y * y for x in side] for y in side],
            "x_label": "first direction",
            "y_label": "second direction",
            "z_label": "loss",
            "log": True,
        },
        {
            "kind": "scatter",
            "title": "Fitted curves",
            "x_label": "x",
            "y_label": "y",
            "points": [{"name": "data", "x": side, "y": [x + math.sin(3 * x) for x in side]}],
            "curves": [{"name": "residual", "x": side, "y": [x + math.sin(2.9 * x) for x in side]}],
        },
        {
            "kind": "images",
            "title": "A digit on its way",
            "rows": [
                ["plain", [{"file": f"pictures/{i}.png", "caption": f"block {i}"} for i in (0, 1)]],
                ["residual", [{"file": "pictures/0.png", "caption": "block 9"}]],
            ],
        },
        {
            "kind": "table",
            "title": "Counts",
            "headings": ["Network", "Blocks"],
            "rows": [["resnet56", "27"], ["plain56", "0"]],
        },
    ]
    statement = "The plain network of 56 layers fits the training set worse than the residual one"
    claims = [
        {
            "statement": statement,
            "source": "He et al. 2015, figure 6",
            "published": "13.3 against 5.9 % test error",
            "measured": "training accuracy 38.1 points lower",
            "interval": [0.331, 0.431],
            "outcome": "holds",
        },
        {
            "statement": "Its gradients vanish",
            "source": "folklore",
            "published": "",
            "measured": "norms within a factor of 4.2 from first to last layer",
            "interval": [3.6, 4.9],
            "outcome": "does not hold",
        },
        {
            "statement": "Twice the depth helps",
            "source": "He et al. 2015, table 6",
            "published": "0.5 points",
            "measured": "0.3 points",
            "interval": None,
            "outcome": "not decided",
        },
    ]
    arms = [
        {
            "name": "resnet56",
            "description": "residual, option A",
            "results": {"train top-1": [1.0, 0.998, 1.0], "test top-1": [0.981, 0.978, 0.986]},
            "params": 853018,
            "macs": 7842880,
        },
        {
            "name": "plain56",
            "description": "the same without shortcuts",
            "results": {"train top-1": [0.672, 0.572, 0.611], "test top-1": [0.425, 0.583, 0.497]},
            "params": 853018,
            "macs": 7842880,
        },
    ]
    return {
        "study": "depth",
        "title": "Does depth hurt without shortcuts?",
        "question": "Do plain networks fit worse the deeper they are, and do shortcuts cure it?",
        "sources": "He et al. 2015, section 4.2",
        "command": "skipline study depth digits --budget quick --seeds 0,1,2 --out runs/study-depth",
        "source": {
            "name": "digits",
            "fingerprint": "9f2c1e" + "0" * 58,
            "train": 1437,
            "test": 360,
            "classes": list("0123456789"),
        },
        "budget": "quick",
        "seeds": [0, 1, 2],
        "machine": MACHINE,
        "seconds": 241.7,
        "arms": arms,
        "claims": claims,
        "panels": [{"explanation": sentences, **panel} for panel in panels],
        "notes": ["Three seeds: intervals are wide.", "Digits are easier than CIFAR-10."],
    }


def reading_values(step: int, layers: int = 20, *, slope: float = 0.12) -> dict[str, Any]:
    """One reading of a network of convolution, normalisation and ReLU, whose gradients fall by 10 ** slope a layer.

    Args:
        step: of the reading.
        layers: convolutions.
        slope: in powers of ten a layer, towards the input.
    """
    listed: list[dict[str, Any]] = []
    for i in range(layers):
        norm = 10 ** (-slope * (layers - 1 - i))
        common = {"mean": 0.0, "std": 1.0 + 0.01 * i, "activation_grad_norm": 3 * norm}
        weights = {"weight_norm": 4.0, "grad_norm": norm, "grad_weight_ratio": norm / 4}
        if step:
            weights |= {"update_weight_ratio": 1e-3 * norm}
        listed.append({"name": f"body.{i}.conv", "kind": "Conv2d", "depth": 3 * i, **common, **weights})
        affine = {"weight_norm": 1.0, "grad_norm": 0.5}
        listed.append({"name": f"body.{i}.bn", "kind": "BatchNorm2d", "depth": 3 * i + 1, **common, **affine})
        relu = {"zeros": 0.5, "dead": 0.01 * i}
        listed.append({"name": f"body.{i}.relu", "kind": "ReLU", "depth": 3 * i + 2, **common, **relu})
    norms = [
        {"name": f"body.{i}.bn", "mean_distance": 0.02 * i, "variance_ratio": 1.1, "training": True}
        for i in range(layers)
    ]
    blocks = [
        {
            "name": f"block{i}",
            "rho": 0.8 / (i + 1),
            "fidelity": None if i == 0 else 0.0,
            "negative": 0.3,
            "response": 1.0 / (i + 1),
            "trainable": True,
            "lesion": 0.4 / (i + 1) if step else None,
        }
        for i in range(layers // 2)
    ]
    figures = {
        "step": step,
        "images": 32,
        "loss": 2.31 if step == 0 else 1.9,
        "eval_loss": 2.4,
        "top1": 0.125,
    }
    return figures | {"layers": listed, "norms": norms, "blocks": blocks}


def diagnosis_values() -> dict[str, Any]:
    """diagnosis.json with a finding of each severity, two verdicts and three readings."""
    findings = [
        {
            "diagnosis": "vanishing gradient",
            "severity": "error",
            "where": "body.0.conv ... body.11.conv",
            "value": 288.4,
            "threshold": 30.0,
            "source": "calibrated (docs/diagnosis.md)",
            "remedy": "batch normalisation, or shortcuts around pairs of layers",
            "sentence": "the gradient of the weights falls 288-fold from the last layer to the first",
            "treatments": ["shortcuts"],
        },
        {
            "diagnosis": "not learning",
            "severity": "warning",
            "where": "",
            "value": 2.302,
            "threshold": 2.303,
            "source": "ln 10",
            "remedy": "see the gradient above",
            "sentence": "after 100 steps the loss is still 2.302",
        },
        {
            "diagnosis": "stall",
            "severity": "note",
            "where": "",
            "value": None,
            "threshold": None,
            "source": "SageMaker Debugger",
            "remedy": "a rate sweep",
            "sentence": "the loss did not fall",
        },
    ]
    verdict = {
        "diagnosis": "vanishing gradient",
        "measure": "training accuracy, points of 100 after 400 steps",
        "seeds": 3,
        "steps": 400,
        "seconds": 212.0,
    }
    values = {"patient": {"lr": 0.01, "values": [0.11, 0.1, 0.12]}}
    verdicts = [
        verdict
        | {"remedy": "shortcuts", "effect": 0.412, "interval": [0.38, 0.444], "outcome": "confirmed"}
        | {"sham": 0.004, "sham_interval": [-0.02, 0.028]}
        | {"arms": values | {"treated": {"lr": 0.1, "values": [0.53, 0.52, 0.51]}}},
        verdict
        | {
            "remedy": "He initialisation",
            "effect": 0.01,
            "interval": [-0.03, 0.05],
            "outcome": "inconclusive",
        }
        | {"sham": 0.004, "sham_interval": [-0.02, 0.028], "arms": values},
    ]
    return {
        "target": "mynet.py:build",
        "source": "digits",
        "findings": findings,
        "fine": ["dead ReLU", "leak / duplicates", "bad input scaling"],
        "not_run": [{"check": "overfitting", "reason": "there is no validation split"}],
        "verdicts": verdicts,
        "readings": [reading_values(step, slope=0.12 - step / 2000) for step in (0, 50, 100)],
        "machine": MACHINE,
        "seconds": 14.2,
    }
