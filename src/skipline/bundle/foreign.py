"""Loading weights that others trained, all or none of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from skipline.bundle.loading import find_bundle
from skipline.bundle.mismatch import describe_mismatch, shorten
from skipline.bundle.saving import WEIGHTS
from skipline.bundle.weight_files import Tensors, read_tensors
from skipline.errors import WeightsError
from skipline.models import akamaster_layout

# Of BN; files from before PyTorch 0.4.1 have none, and nothing computes with it.
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class LoadedWeights:
    """What was taken from a file.

    Attributes:
        file: where the weights came from.
        layout: whose key names the file has: "own" (which are torchvision's, too) or "akamaster".
        loaded: keys of the network that were filled.
        fresh: keys that were left as they were: a new head.
        replaced_classes: number of classes of the head in the file that was not used; None where the head was
            loaded or the file has none.
    """

    file: Path
    layout: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    replaced_classes: int | None

    def __str__(self) -> str:
        head = ""
        if self.fresh:
            old = (
                f" instead of the file's for {self.replaced_classes} classes" if self.replaced_classes else ""
            )
            head = f"; new head ({shorten(self.fresh)}){old}"
        theirs = "" if self.layout == "own" else f" in {self.layout}'s layout"
        return f"{len(self.loaded)} tensors from {self.file}{theirs}{head}"


def load_foreign(network: nn.Module, file: Path | str, *, new_head: bool = False) -> LoadedWeights:
    """Fill a network from a file of weights.

    Understood are our own files, torchvision's (the same key names), and those of akamaster and kuangliu for
    the small-image family: keys `linear.weight` for `fc.weight` and `layer1.0.shortcut.0.weight` for
    `layer1.0.downsample.0.weight`. Containers ("state_dict", "model", ...) and prefixes ("module." of
    DataParallel, "_orig_mod." of torch.compile, ...) are taken off. Everything is compared before anything is
    copied.

    Args:
        network: filled in place; untouched when an error is raised.
        file: `.safetensors`, `.th`, `.pt`, `.pth`, or a bundle or run folder. Pickles are read with
            `weights_only=True`, so nothing in them is executed.
        new_head: leave the classifier (and auxiliary classifiers) as it is, whatever the file holds for it:
            for other classes than the file was trained on.

    Returns:
        What was loaded and what was left fresh; `str()` of it is one line for people.

    Raises:
        InputError: no such file.
        WeightsError: not a file of plain tensors; missing, unexpected or wrongly shaped keys, which are
            listed; or values that are not finite.
    """
    file = Path(file)
    if file.is_dir():
        file = find_bundle(file) / WEIGHTS
    state = network.state_dict()
    head = _head_keys(network, state)
    layout, tensors = _best_layout(read_tensors(file), state)
    replaced = next((len(tensors[key]) for key in head if key in tensors and tensors[key].ndim), None)
    fresh = head if new_head else ()
    wanted = {key: value for key, value in state.items() if key not in fresh}
    offered = {key: value for key, value in tensors.items() if key not in fresh}
    offered = {**{key: value for key, value in wanted.items() if key.endswith(COUNTER)}, **offered}
    _check(wanted, offered, head, file)
    network.load_state_dict({**state, **offered})
    loaded = tuple(key for key in wanted if key in tensors)
    return LoadedWeights(file, layout, loaded, fresh, replaced if new_head else None)


def _head_keys(network: nn.Module, state: Tensors) -> tuple[str, ...]:
    names: tuple[str, ...] = getattr(network, "classifiers", ())
    return tuple(key for key in state if key.rpartition(".")[0] in names)


def _best_layout(tensors: Tensors, state: Tensors) -> tuple[str, Tensors]:
    """The reading under which most keys are known to the network; with a tie the file's own names."""
    readings = {"own": tensors, "akamaster": akamaster_layout(tensors)}
    layout = max(readings, key=lambda name: len(readings[name].keys() & state.keys()))
    return layout, readings[layout]


def _check(wanted: Tensors, offered: Tensors, head: tuple[str, ...], file: Path) -> None:
    expected = {key: tuple(value.shape) for key, value in wanted.items()}
    arrived = {key: tuple(value.shape) for key, value in offered.items()}
    if difference := describe_mismatch(expected, arrived):
        raise WeightsError(
            f"'{file}' does not fit the network: {difference}. {_remedy(expected, arrived, head)}"
        )
    damaged = [
        key for key, value in offered.items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if damaged:
        raise WeightsError(
            f"'{file}' holds values that are not finite in {shorten(damaged)}: expected trained weights, "
            "not those of a run that diverged. Take an earlier checkpoint"
        )


def _remedy(
    expected: dict[str, tuple[int, ...]], arrived: dict[str, tuple[int, ...]], head: tuple[str, ...]
) -> str:
    differing = {key for key in expected.keys() | arrived.keys() if expected.get(key) != arrived.get(key)}
    if differing <= set(head):
        old, new = (
            next((shapes[key][0] for key in head if key in shapes), 0) for shapes in (arrived, expected)
        )
        kept = f"The head is for {old} classes and the network for {new}" if old else "The file has no head"
        return f"{kept}: load with new_head=True and train the head on your classes"
    if all(".downsample." in key for key in differing):
        return "The file has other shortcuts: create the network with shortcut='A', 'B' or 'C' to match it"
    return (
        "Create the network that the file was trained with (name, shortcut, channels), or bring another file"
    )
