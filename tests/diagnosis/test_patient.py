"""What can be examined, and what a user reads where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from skipline.bundle import save_bundle
from skipline.data import Preprocessing
from skipline.diagnosis.patient import first_images, open_patient
from skipline.errors import InputError, ShapeMismatchError
from skipline.models import create

MODULE = """
import torch
from torch import nn

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def told(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))

def few():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))

def many():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1000))

def boom(classes):
    raise ValueError("no such block")

def text():
    return "resnet"

def large():
    return nn.Sequential(nn.Conv2d(3, 4, 20), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))

def deaf(classes, channels):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))

def grid():
    return nn.Conv2d(1, 10, 3)

def never():
    return nn.Linear(7, 10)

built = plain()

class Sum(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 8, 3, padding=1)
        self.block = Block()
        self.fc = nn.Linear(16, classes)

    def forward(self, x):
        return self.fc(self.block(self.conv1(x)).mean((2, 3)))

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 16, 3, stride=2, padding=1)

    def forward(self, x):
        y = self.conv(x)
        y += x
        return y
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("user") / "mynet.py"
    file.write_text(MODULE)
    return file


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("boom", "boom(classes=10) in 'mynet.py' raised ValueError: no such block"),
        ("text", "text() in 'mynet.py' returned str, expected a torch.nn.Module"),
        (
            "few",
            "the network has 5 outputs, the source has 10 classes: expected logits of shape (N, 10), arrived (N, 5)",
        ),
    ],
)
def test_errors_of_a_factory(module: Path, name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        open_patient(f"{module}:{name}", "digits")
    assert str(caught.value) == message


def test_what_is_no_factory(module: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_patient(f"{module}:resnet", "digits")
    assert str(caught.value).startswith(f"'{module}' has no 'resnet'. It defines plain, told, few")
    with pytest.raises(InputError) as caught:
        open_patient(f"{module}:built", "digits")
    assert str(caught.value).startswith(f"'{module}:built' is a Sequential, expected a function that builds")
    with pytest.raises(InputError, match="which function builds the network"):
        open_patient(module, "digits")


def test_targets_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_patient("nowhere.py:build", "digits")
    assert str(caught.value) == (
        "no such file 'nowhere.py'. Expected FILE.py:NAME, NAME being a function in it"
    )
    with pytest.raises(InputError) as caught:
        open_patient("resnt20", "digits")
    assert str(caught.value) == (
        "no such target 'resnt20'. Expected a run or bundle folder, a catalogue name (see `skipline models`), "
        "FILE.py:NAME or zoo:NAME. Did you mean resnet20?"
    )
    with pytest.raises(InputError, match="no bundle in"):
        open_patient(tmp_path, "digits")
    with pytest.raises(InputError) as caught:
        open_patient("resnet20")
    assert str(caught.value) == ("'resnet20' is not a run, so it needs images: expected a SOURCE beside it")


def test_a_file_that_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(InputError) as caught:
        open_patient(f"{tmp_path / 'broken.py'}:build", "digits")
    assert str(caught.value) == (
        "'broken.py' could not be run: ModuleNotFoundError: No module named 'nothing_of_this_name'"
    )


def test_a_factory_is_told_classes_and_channels_by_any_usual_name(module: Path) -> None:
    patient = open_patient(f"{module}:told", "digits")
    assert patient.network()[1].weight.shape == (10, 64)  # type: ignore[index, union-attr]
    assert patient.notes == ("split 1,437 / 360, stratified, seed 0",)


def test_a_seed_gives_the_same_weights_and_leaves_the_generator_alone(module: Path) -> None:
    patient = open_patient(f"{module}:plain", "digits")
    state = torch.get_rng_state()
    first, again, other = (patient.network(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["1.weight"], other["1.weight"])


def test_images_are_enlarged_and_opened_with_the_channels_that_a_network_needs(module: Path) -> None:
    patient = open_patient(f"{module}:large", "digits")
    assert patient.dataset.train.shape == (3, 32, 32)
    assert patient.original.train.shape == (3, 8, 8)
    assert patient.notes[-2:] == (
        "the network takes images of 3 channels: the source was opened with as many",
        "the network needs larger images than 8 x 8: they were enlarged to 32 x 32",
    )
    images, labels = first_images(patient, 16)
    assert patient.network()(images).shape == (len(labels), 10)


def test_a_factory_that_builds_for_three_channels_whatever_it_is_told_gets_three(module: Path) -> None:
    patient = open_patient(f"{module}:deaf", "digits")
    assert patient.preprocessing.channels == 3
    assert patient.notes[-1] == "the network takes images of 3 channels: the source was opened with as many"


def test_outputs_beyond_the_classes_are_noted(module: Path) -> None:
    notes = open_patient(f"{module}:many", "digits").notes
    assert notes[-1] == "the network has 1000 outputs for 10 classes: the others stay unused"


def test_a_network_that_takes_no_images_is_refused_with_their_shape(module: Path) -> None:
    with pytest.raises(ShapeMismatchError) as caught:
        open_patient(f"{module}:never", "digits")
    assert str(caught.value).startswith("the network cannot take the images of shape (N, 1, 8, 8): ")
    assert str(caught.value).endswith("enlarged to 32, 64, 96, 224 pixels they fail as well")
    with pytest.raises(InputError, match=r"expect logits of shape \(N, classes\)"):
        open_patient(f"{module}:grid", "digits")


def test_an_addition_that_fails_is_for_the_doctor_to_tell(module: Path) -> None:
    found = open_patient(f"{module}:Sum", "digits").mismatch
    assert found is not None
    assert found.where == "block"
    assert found.branch == (4, 16, 4, 4)
    assert found.shortcut == (4, 8, 8, 8)


def test_the_spec_opens_the_same_patient_from_json(module: Path) -> None:
    first = open_patient(f"{module}:told", "digits", settings=["optimizer.lr=0.3"], seed=3)
    again = open_patient(**json.loads(json.dumps(first.spec)))
    assert again.recipe == first.recipe
    assert again.recipe.optimizer.lr == 0.3
    assert again.dataset.fingerprint == first.dataset.fingerprint
    assert torch.equal(again.batches(0).batch(0, 0).images, first.batches(0).batch(0, 0).images)


def test_small_images_take_the_tiny_recipe_and_a_named_one_where_it_is_given() -> None:
    assert open_patient("resnet20", "digits").recipe.name == "tiny"
    assert open_patient("resnet20", "digits", recipe="fast").recipe.name == "fast"


def test_a_recipe_with_trained_weights_sees_what_they_were_trained_on(tmp_path: Path) -> None:
    trained = create("resnet20", classes=3, channels=1, seed=4)
    preprocessing = Preprocessing(1, 12, 10, (0.3,), (0.2,))
    save_bundle(tmp_path / "b", trained, ("x", "y", "z"), preprocessing, {}, {})
    patient = open_patient(
        "resnet20", "digits", settings=[f"finetune.weights={tmp_path / 'b'}"], recipe="tiny"
    )
    assert patient.preprocessing == preprocessing
    assert torch.equal(patient.network().conv1.weight, trained.conv1.weight)


def test_without_a_recipe_an_own_network_learns_larger_images_with_adam(module: Path, tmp_path: Path) -> None:
    """The rates of the named recipes suit the catalogue; torchvision's networks learn nothing at 0.2."""
    for index in range(12):
        folder = tmp_path / "photos" / ("ab"[index % 2])
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (index * 20, 0, 0)).save(folder / f"{index}.png")
    own = open_patient(f"{module}:deaf", tmp_path / "photos").recipe
    assert (own.optimizer.kind, own.optimizer.lr) == ("adam", 1e-3)
    assert open_patient("resnet20", tmp_path / "photos").recipe.optimizer.kind == "sgd"
    told = open_patient(f"{module}:deaf", tmp_path / "photos", recipe="small").recipe
    assert (told.optimizer.kind, told.optimizer.lr) == ("sgd", 0.2)
    assert open_patient(f"{module}:plain", "digits").recipe.optimizer.kind == "sgd"
