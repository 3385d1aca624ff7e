from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundle_examples import CLASSES, PREPROCESSING
from torch import nn

from skipline.bundle import save_bundle
from skipline.bundle.card import license_of, model_card

yaml = pytest.importorskip("yaml", reason="PyYAML reads the front matter as the Hub does")

METRICS: dict[str, Any] = {
    "train": {"top1": 1.0, "loss": 0.01},
    "test": {
        "n": 360,
        "top1": 0.975,
        "top1_interval": [0.953, 0.987],
        "loss": 0.0912,
        "weakest": [{"name": "8", "n": 35, "recall": 0.9143}, {"name": "1", "n": 36, "recall": 0.9444}],
    },
    "tta": None,
}
PROVENANCE = {
    "source": "digits",
    "fingerprint": "ab" * 32,
    "split_seed": 0,
    "seed": 3,
    "recipe": "tiny",
    "trained": "2026-11-25",
    "precision": "fp32",
    "cpu": "AMD EPYC",
    "torch": "2.14.1",
    "skipline": "0.1.0",
}


def card(**changes: Any) -> str:
    given: dict[str, Any] = {
        "model": "resnet20",
        "parameters": 269_434,
        "classes": [str(k) for k in range(10)],
        "preprocessing": replace(PREPROCESSING, channels=1, mean=(0.3053,), std=(0.3783,), stored=8, side=8),
        "metrics": METRICS,
        "provenance": PROVENANCE,
    }
    return model_card(**{**given, **changes})


def front(text: str) -> dict[str, Any]:
    _, matter, _ = text.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(matter)
    return found


def test_the_front_matter_is_what_the_hub_reads() -> None:
    assert front(card()) == {
        "library_name": "skipline",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "residual-networks", "resnet20"],
        "datasets": ["digits"],
        "metrics": ["accuracy"],
        "model-index": [
            {
                "name": "resnet20 on digits",
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Image Classification"},
                        "dataset": {"name": "digits", "type": "digits", "split": "test"},
                        "metrics": [
                            {"type": "accuracy", "value": 0.975, "name": "top-1 accuracy on 360 images"}
                        ],
                    }
                ],
            }
        ],
    }


def test_huggingface_hub_understands_it(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    (tmp_path / "README.md").write_text(card(), encoding="utf-8")
    data = hub.ModelCard.load(tmp_path / "README.md").data
    (result,) = data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("digits", "accuracy", 0.975)
    assert data.library_name == "skipline"
    assert data.license is None


def test_every_figure_is_one_that_was_measured() -> None:
    text = card()
    assert "| test images | 360 | 97.50 % | 95.30 to 98.70 % | 0.0912 |" in text
    assert "| training images, at most 5,000 of them |  | 100.00 % |  | 0.0100 |" in text
    assert "| 8 | 35 | 91.4 % |\n| 1 | 36 | 94.4 % |" in text
    assert "269,434 parameters" in text
    for value in ("ab" * 32, "tiny", "2026-11-25", "AMD EPYC", "2.14.1"):
        assert f"| {value} |" in text
    assert "mean 0.3053 and std 0.3783" in text
    assert "with test-time augmentation" not in text
    assert text.isprintable() or all(c.isprintable() or c == "\n" for c in text)


def test_what_was_not_measured_is_not_claimed() -> None:
    text = card(metrics={}, provenance={})
    assert "No accuracy was measured when this network was saved." in text
    assert "How often it is right was not measured." in text
    assert "%" not in text
    assert set(front(text)) == {"library_name", "pipeline_tag", "tags"}


@pytest.mark.parametrize(
    "metrics",
    [
        {"test": 5},
        {"test": {"top1": "x", "top1_interval": [0.1], "loss": None, "weakest": 3}},
        {"test": {"top1": 7.5, "weakest": [{"name": 1, "n": "x", "recall": 2}, 5]}},
        {"test": {"top1": None, "n": []}, "train": [1], "tta": "x"},
    ],
)
def test_strange_metrics_are_left_out(metrics: dict[str, Any]) -> None:
    assert "No accuracy was measured" in card(metrics=metrics)


EVIL = '"cat"\n---\nlicense: mit\n| <script>alert(1)</script> [x](javascript:1) `*_~ \x1b[2J \ud800 é'


def test_names_from_anywhere_stay_text() -> None:
    text = card(classes=[EVIL, "dog"], provenance={**PROVENANCE, "source": EVIL}, model=EVIL)
    found = front(text)
    assert "license" not in found
    assert found["model-index"][0]["results"][0]["dataset"]["name"].startswith('"cat" --- license: mit |')
    assert "<script>" not in text.split("---\n", 2)[2]
    assert r"\[x\](javascript:1)" in text
    assert "\x1b" not in text
    assert text.encode("utf-8")


def test_a_licence_is_the_users_to_state(network: nn.Module, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"

    def save() -> str:
        save_bundle(folder, network, CLASSES, PREPROCESSING, METRICS, PROVENANCE)
        return (folder / "README.md").read_text(encoding="utf-8")

    text = save()
    assert "license" not in front(text)
    assert text.startswith("---\n# license: yours to choose")
    assert license_of(folder / "README.md") == []
    (folder / "README.md").write_text(
        text.replace("# license: yours to choose, such as mit or cc-by-4.0", "license: mit")
    )
    again = save()
    assert front(again)["license"] == "mit"
    assert "No licence was stated" not in again
