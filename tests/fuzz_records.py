"""Files of a run, a study and a diagnosis, as small as they can be: what the fuzz targets begin from."""

from __future__ import annotations

import json


def events() -> bytes:
    """events.jsonl of a finished run."""
    start = {
        "kind": "start",
        "time": 1.7e9,
        "model": "resnet20",
        "options": {"classes": 2, "channels": 1},
        "params": 1000,
        "macs": 2000,
        "recipe": "tiny",
        "source": {
            "name": "digits",
            "fingerprint": "ab" * 32,
            "train": 8,
            "test": 4,
            "validation": None,
            "classes": ["cat", "dog"],
            "input": [1, 8, 8],
            "problems": 0,
            "notes": ["split 8 / 4"],
        },
        "machine": {"cpu": "some", "cores": 2},
        "precision": "fp32",
        "threads": 1,
        "device": "cpu",
        "seed": 0,
        "epochs": 2,
        "steps_per_epoch": 2,
        "batch_size": 4,
    }
    finding = {
        "diagnosis": "dead units",
        "severity": "note",
        "where": "conv1",
        "value": 0.5,
        "remedy": "none",
    }
    layer = {
        "name": "conv1",
        "kind": "Conv2d",
        "depth": 0,
        "weight_norm": 1.0,
        "grad_norm": 0.1,
        "zeros": 0.5,
    }
    score = {"top1": 0.5, "loss": 0.7}
    lines = [
        start,
        {"kind": "step", "step": 1, "epoch": 0.5, "lr": 0.1},
        {"kind": "probe", "reading": {"step": 1, "images": 4, "loss": 0.7, "layers": [layer]}},
        {"kind": "finding", "finding": finding},
        {"kind": "epoch", "epoch": 1, "step": 2, "lr": 0.1, "train": score, "test": score, "seconds": 1.5},
        {"kind": "resume", "step": 2},
        {"kind": "epoch", "epoch": 2, "step": 4, "lr": 0.0, "train": score, "test": None, "seconds": 1.5},
        {"kind": "probe-overhead", "seconds": 0.1, "share": 0.02, "skipped": 0},
        {"kind": "end", "status": "done", "seconds": 3.0, "epochs": 2, "images_per_second": 5.0},
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def evaluation() -> bytes:
    """evaluation.json of it."""
    return json.dumps(
        {
            "train": {"top1": 1.0, "loss": 0.1},
            "test": {
                "n": 4,
                "top1": 0.5,
                "top1_interval": [0.1, 0.9],
                "top5": 1.0,
                "loss": 0.7,
                "ece": 0.1,
                "classes": [
                    {"name": "cat", "n": 2, "recall": 0.5, "precision": 0.5},
                    {"name": "dog", "n": 2, "recall": 0.5, "precision": None},
                ],
                "confusion": [[1, 1], [1, 1]],
            },
            "tta": {"top1": 0.5, "top1_interval": [0.1, 0.9]},
            "mistakes": [
                {
                    "image": "mistakes/00.png",
                    "index": 1,
                    "true": "cat",
                    "predicted": "dog",
                    "probability": 0.9,
                    "sound": "mistakes/00.wav",
                    "spectrogram": {"start": 0.5, "end": 1.5, "ticks": [[1000.0, 0.5]], "top_db": 80.0},
                }
            ],
            "end": {"status": "done", "epochs": 2, "seconds": 3.0, "images_per_second": 5.0},
        }
    ).encode()


def study() -> bytes:
    """study.json of a study with one arm and one claim."""
    claim = {"statement": "depth helps", "source": "1512.03385", "measured": "0.1", "interval": [0.0, 0.2]}
    return json.dumps(
        {
            "study": "depth",
            "title": "Depth",
            "question": "Does depth help?",
            "command": "skipline study depth",
            "source": {"name": "digits", "train": 8, "test": 4, "classes": ["cat", "dog"]},
            "budget": "quick",
            "seeds": [0, 1],
            "seconds": 2.5,
            "arms": [{"name": "resnet20", "results": {"top1": [0.5, None]}, "params": 10, "macs": 20}],
            "claims": [{**claim, "outcome": "holds"}],
        }
    ).encode()


def diagnosis() -> bytes:
    """diagnosis.json with a finding and a tested remedy."""
    verdict = {"remedy": "shortcuts", "measure": "training accuracy", "effect": 0.4, "interval": [0.3, 0.5]}
    return json.dumps(
        {
            "target": "plain56",
            "source": "digits",
            "findings": [
                {"diagnosis": "degradation", "severity": "error", "value": 3, "remedy": "shortcuts"}
            ],
            "fine": ["dead units"],
            "not_run": [{"check": "overfitting", "reason": "no split"}],
            "verdicts": [{**verdict, "outcome": "confirmed", "seeds": 3, "seconds": 20.0}],
            "readings": [{"step": 0, "images": 4, "layers": [{"name": "c", "kind": "Conv2d", "depth": 0}]}],
            "seconds": 30.0,
        }
    ).encode()
