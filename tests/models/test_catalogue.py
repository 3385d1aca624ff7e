"""Names, options, twins."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from skipline.errors import InputError, UnknownNameError
from skipline.models import create, names, spec, twin
from skipline.models.catalogue import ROWS, family, table

PROMISED = [
    "resnet18",
    "resnet26",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "wide_resnet50_2",
    "resnext50_32x4d",
    "wide_resnet101_2",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "plain18",
    "plain34",
    "resnet18-small",
    "quick-resnet8",
    "quick-resnet8-wide",
    "quick-resnet8-wider",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "resnet1202",
    "plain20",
    "plain32",
    "plain44",
    "plain56",
    "plain110",
    "preact-resnet20",
    "preact-resnet32",
    "preact-resnet44",
    "preact-resnet56",
    "preact-resnet110",
    "preact-resnet164",
    "preact-resnet1001",
    "preact-resnet1202",
    "wrn-28-10",
    "wrn-16-4",
    "alexnet",
    "googlenet",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "vgg11-bn",
    "vgg13-bn",
    "vgg16-bn",
    "vgg19-bn",
    "lecture-alexnet",
    "lecture-vgg",
    "lecture-vgg-bn",
    "lecture-vgg-bn-deep",
    "lecture-resnet",
    "lecture-resnet-deep",
]

# One network of every constructor, block and stem.
ONE_OF_A_KIND = [
    "resnet18",
    "resnet50",
    "plain20",
    "resnet18-small",
    "quick-resnet8",
    "preact-resnet20",
    "preact-resnet164",
    "wrn-16-4",
    "alexnet",
    "vgg11-bn",
    "googlenet",
    "lecture-vgg-bn",
    "lecture-resnet",
]


def on_meta(name: str, **options: Any) -> Any:
    with torch.device("meta"):
        return create(name, **options)


def test_every_promised_name_is_there() -> None:
    assert sorted(name for name in names() if not name.endswith("-1d")) == sorted(PROMISED)


def test_duplicates_are_refused() -> None:
    with pytest.raises(ValueError, match="two rows of the catalogue are called 'resnet18'"):
        table([*ROWS, spec("resnet18")])


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        create("resnet52")
    assert str(caught.value).startswith("no model is called 'resnet52'. Did you mean resnet")
    assert str(caught.value).endswith("`skipline models` lists all.")
    with pytest.raises(UnknownNameError, match="Did you mean vgg11-bn"):
        spec("vgg11_bn")
    with pytest.raises(
        UnknownNameError, match=r"no family of models is called 'cifar'\. Did you mean cifar-"
    ):
        family("cifar")


@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_options_rebuild_the_network(name: str) -> None:
    first = on_meta(name, classes=7, channels=1)
    assert first.name == name
    options = json.loads(json.dumps(first.options))
    again = on_meta(name, **options)
    assert again.options == first.options
    assert {key: t.shape for key, t in again.state_dict().items()} == {
        key: t.shape for key, t in first.state_dict().items()
    }


def test_options_hold_defaults_too() -> None:
    assert on_meta("resnet50").options == {"classes": 1000, "channels": 3, "shortcut": "B", "variant": "v1.5"}
    assert on_meta("alexnet", classes=2).options == {"classes": 2, "channels": 3}
    given = {
        "classes": 4,
        "channels": 1,
        "shortcut": "B",
        "zero_gamma": True,
        "stochastic_depth": 0.2,
        "seed": 5,
    }
    assert create("resnet20", **given).options == given  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_the_head_has_as_many_outputs_as_classes(name: str) -> None:
    network = on_meta(name, classes=7)
    assert [network.get_submodule(path).weight.shape[0] for path in network.classifiers] == [7] * len(
        network.classifiers
    )


def test_a_seed_fixes_the_weights_and_leaves_the_generator() -> None:
    state = torch.get_rng_state()
    first = create("resnet20", seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    again, other = create("resnet20", seed=4), create("resnet20", seed=5)
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)
    torch.manual_seed(4)
    assert torch.equal(create("resnet20").conv1.weight, first.conv1.weight)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("resnet56", {}, ("plain56", {})),
        ("resnet18", {"classes": 4}, ("plain18", {"classes": 4})),
        (
            "resnet20",
            {"shortcut": "B", "zero_gamma": True, "stochastic_depth": 0.1, "seed": 1},
            ("plain20", {"seed": 1}),
        ),
        ("resnet50", {"variant": "v1"}, ("resnet50", {"variant": "v1", "shortcut": "none"})),
        ("preact-resnet20", {}, ("preact-resnet20", {"shortcut": "none"})),
        ("lecture-resnet", {}, ("lecture-resnet", {"shortcut": "none"})),
        ("resnet1202", {}, ("resnet1202", {"shortcut": "none"})),
    ],
)
def test_the_plain_twin(name: str, options: dict[str, Any], expected: tuple[str, dict[str, Any]]) -> None:
    assert twin(name, **options) == expected


def test_the_twin_of_a_built_network() -> None:
    network = create("resnet20", classes=5, seed=1)
    name, options = twin(network.name, **network.options)
    assert create(name, **options).options == {"classes": 5, "channels": 3, "shortcut": "none", "seed": 1}


@pytest.mark.parametrize(
    ("name", "options"), [("plain20", {}), ("alexnet", {}), ("resnet20", {"shortcut": "none"})]
)
def test_networks_without_shortcuts_have_no_twin(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"^{name} has no shortcuts, so it has no plain twin; resnet20 or"):
        twin(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet20", {"classes": 0}, "classes must be at least 1, got 0"),
        ("resnet20", {"channels": -3}, "channels must be at least 1, got -3"),
        ("resnet20", {"shortcut": "D"}, "shortcut must be one of A, B, C, none, got 'D'"),
        ("resnet50", {"variant": "v2"}, "variant must be one of v1, v1.5, got 'v2'"),
        ("resnet18", {"variant": "v1"}, "resnet18 has no option variant, got variant='v1': leave it out"),
        ("vgg11", {"shortcut": "A"}, "vgg11 has no option shortcut, got shortcut='A': leave it out"),
        ("plain20", {"shortcut": "A"}, "plain20 is resnet20 without shortcuts: take resnet20 for shortcut A"),
        ("resnet20", {"stochastic_depth": 1.0}, "stochastic_depth is a drop rate in [0, 1), got 1.0"),
        (
            "resnet20",
            {"stochastic_depth": float("nan")},
            "stochastic_depth is a drop rate in [0, 1), got nan",
        ),
        (
            "plain20",
            {"zero_gamma": True},
            "plain20 is built without shortcuts, so zero_gamma or stochastic_depth would cut it in two: leave them out",
        ),
        (
            "alexnet",
            {"stochastic_depth": 0.1},
            "alexnet is built without shortcuts, so zero_gamma or stochastic_depth would cut it in two: leave them out",
        ),
    ],
)
def test_mistakes_in_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        create(name, **options)
    assert str(caught.value) == message


def test_none_is_accepted_where_it_is_true_already() -> None:
    assert create("plain20", shortcut="none").options["shortcut"] == "none"
