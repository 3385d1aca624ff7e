"""`skipline models` and `skipline summary`."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from skipline.cli import models, summary
from skipline.errors import InputError, ShapeMismatchError, UnknownNameError


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    models.register(app)
    summary.register(app)
    return app


def run(app: typer.Typer, *arguments: str, width: int = 80) -> str:
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def as_json(app: typer.Typer, *arguments: str) -> dict[str, Any]:
    text = run(app, *arguments, "--json")
    assert text.count("\n") == 1
    value = json.loads(text)
    assert isinstance(value, dict)
    return value


def test_models_as_json(app: typer.Typer) -> None:
    listed = as_json(app, "models")["models"]
    assert len(listed) == 80
    by_name = {row["name"]: row for row in listed}
    assert by_name["resnet20"] == {
        "name": "resnet20",
        "family": "cifar-resnet",
        "params": 269_722,
        "macs": 40_551_040,
        "input": [3, 32, 32],
        "classes": 10,
    }


def test_models_as_a_table(app: typer.Typer) -> None:
    lines = run(app, "models").splitlines()
    assert len(lines) == 1 + 80 + 3
    assert lines[0].split() == ["name", "family", "parameters", "MACs", "input", "classes"]
    assert lines[1].split() == ["resnet18", "resnet", "11,689,512", "1.814", "G", "3x224x224", "1,000"]
    assert "FLOPs = 2 x MACs" in lines[-2]
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)


def test_one_family(app: typer.Typer) -> None:
    listed = as_json(app, "models", "--family", "lecture")["models"]
    assert [row["name"] for row in listed] == [
        *("lecture-alexnet", "lecture-vgg", "lecture-vgg-bn", "lecture-vgg-bn-deep"),
        *("lecture-resnet", "lecture-resnet-deep"),
    ]
    with pytest.raises(UnknownNameError, match="Did you mean lecture"):
        run(app, "models", "--family", "lectures")


def test_summary_as_json(app: typer.Typer) -> None:
    value = as_json(app, "summary", "resnet34", "--shortcut", "A")
    assert (value["name"], value["params"], value["macs"]) == ("resnet34", 21_623_848, 3_644_493_824)
    assert value["flops"] == 2 * value["macs"]
    assert value["input"] == [3, 224, 224]
    assert value["options"] == {"classes": 1000, "channels": 3, "shortcut": "A"}
    assert {"name", "kind", "output", "params", "macs"} <= set(value["layers"][0])
    assert value["layers"][0]["output"] == [64, 112, 112]
    assert sum(row["params"] for row in value["layers"]) == value["params"]
    assert sum(row["macs"] for row in value["layers"]) == value["macs"]
    assert [stage["macs_per_layer"] for stage in value["stages"][1:5]] == [115_605_504] * 4
    assert [len(stage["macs_per_block"]) for stage in value["stages"]] == [0, 3, 4, 6, 3, 0]


@pytest.mark.parametrize("name", ["resnet34", "resnext50_32x4d", "preact-resnet164", "lecture-resnet-deep"])
def test_summary_fits_a_terminal_of_80_columns(app: typer.Typer, name: str) -> None:
    lines = [line.rstrip() for line in run(app, "summary", name).splitlines()]
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)


def test_summary_in_words(app: typer.Typer) -> None:
    text = run(app, "summary", "resnet34", "--shortcut", "A")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "resnet34, shortcut A: 3x224x224 to 1,000 classes"
    assert "conv1 Conv2d 7x7/2 64x112x112 9,408 118.0 M" in lines
    assert "layer2.0.downsample ZeroPad /2, +64 channels 128x28x28 0 -" in lines
    assert "layer3.2 to layer3.5 the same, 4 more 256x14x14 4,722,688 924.8 M" in lines
    assert "stage3 256x14x14 6,789,120 1.329 G 115.6 M 173.4 M + 5 x 231.2 M" in lines
    assert lines[-5:] == [
        "21,623,848 parameters",
        "3,644,493,824 MACs (3.644 G): multiply-adds of convolutions and linear layers",
        "7,288,987,648 FLOPs (7.289 G) = 2 x MACs",
        "From stage1 to stage4 each stage has half the side and twice the channels,",
        "and its last layer costs the same: 115.6 M MACs (a repeated block: 231.2 M)",
    ]


def test_the_columns_of_the_table_add_up_to_the_total(app: typer.Typer) -> None:
    """Also where repeated blocks are folded into one line."""
    table = run(app, "summary", "resnet50").split("\n\n")[1]
    params = re.findall(r"\d +([\d,]+) +(?:-|[\d.]+ [GMk])$", table, flags=re.MULTILINE)
    assert len(params) == table.count("\n")
    assert sum(int(count.replace(",", "")) for count in params) == 25_557_032


def test_auxiliary_heads_are_named(app: typer.Typer) -> None:
    text = run(app, "summary", "googlenet")
    assert "6,624,904 parameters\n6,379,984 more parameters in auxiliary heads, used in training only" in text


def test_other_input_and_classes(app: typer.Typer) -> None:
    value = as_json(app, "summary", "resnet20", "--input", "1, 28,28", "--classes", "7")
    assert value["layers"][0]["output"] == [16, 28, 28]
    assert value["layers"][0]["params"] == 16 * 9
    assert value["layers"][-1]["output"] == [7]


def test_a_network_for_series(app: typer.Typer) -> None:
    value = as_json(app, "summary", "resnet20-1d", "--input", "3,500")
    assert value["input"] == [3, 500]
    assert value["layers"][0] == {
        **{"name": "conv1", "kind": "Conv1d", "detail": "3", "output": [16, 500]},
        **{"params": 3 * 3 * 16, "macs": 500 * 3 * 3 * 16},
    }
    by_name = {row["name"]: row for row in as_json(app, "models")["models"]}
    assert (by_name["resnet18-1d"]["family"], by_name["resnet18-1d"]["input"]) == ("resnet-1d", [1, 1024])
    with pytest.raises(InputError) as caught:
        run(app, "summary", "resnet20-1d", "--input=1,32,32")
    assert str(caught.value) == "--input takes channels,length such as 1,128, got '1,32,32'"


def test_variant(app: typer.Typer) -> None:
    assert as_json(app, "summary", "resnet50", "--variant", "v1")["macs"] == 3_857_973_248


@pytest.mark.parametrize(
    "text", ["3,32", "32", "a,b,c", "3,0,32", "3,32,32,", "-3,32,32", "", "3,32.5,32", "3,32,32,9"]
)
def test_a_wrong_input_shape(app: typer.Typer, text: str) -> None:
    with pytest.raises(InputError) as caught:
        run(app, "summary", "resnet20", f"--input={text}")
    assert str(caught.value) == f"--input takes channels,height,width such as 3,224,224, got '{text}'"


def test_wrong_names_options_and_sizes(app: typer.Typer) -> None:
    with pytest.raises(UnknownNameError, match="no model is called 'resnet19'"):
        run(app, "summary", "resnet19")
    with pytest.raises(InputError, match="vgg11 has no option shortcut"):
        run(app, "summary", "vgg11", "--shortcut", "A")
    with pytest.raises(
        ShapeMismatchError, match="alexnet takes images of at least 63 x 63 pixels, got 32 x 32"
    ):
        run(app, "summary", "alexnet", "--input", "3,32,32")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "-"),
        (640, "640"),
        (999, "999"),
        (1000, "1.000 k"),
        (40_551_040, "40.55 M"),
        (3_663_761_408, "3.664 G"),
    ],
)
def test_magnitudes(count: int, text: str) -> None:
    assert summary.magnitude(count) == text
