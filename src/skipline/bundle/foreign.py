"""Loading weights that others trained, all or none of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from skipline.bundle.first_layer import adapt, first_convolution
from skipline.bundle.lacking import listed, traits_of
from skipline.bundle.loading import find_bundle
from skipline.bundle.mismatch import describe_mismatch, shorten
from skipline.bundle.recognise import recognise
from skipline.bundle.saving import WEIGHTS
from skipline.bundle.weight_files import Tensors, read_tensors
from skipline.errors import WeightsError
from skipline.models import LAYOUTS

# Of BN; files from before PyTorch 0.4.1 have none, and nothing computes with it.
COUNTER = "num_batches_tracked"

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class LoadedWeights:
    """What was taken from a file.

    Attributes:
        file: where the weights came from.
        layout: whose key names the file has: "own" (which are torchvision's and mostly timm's, too), "akamaster" or
            "timm".
        loaded: keys of the network that were filled.
        fresh: keys that were left as they were: a new head.
        replaced_classes: number of classes of the head in the file that was not used; None where the head was
            loaded or the file has none.
        kept_classes: number of classes of the file's head, where it was free to choose and the head was kept.
        adapted: the rule that fitted the first convolution to the image channels, or None.
    """

    file: Path
    layout: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    replaced_classes: int | None
    kept_classes: int | None = None
    adapted: str | None = None

    def __str__(self) -> str:
        head = ""
        if self.fresh:
            old = (
                f" instead of the file's for {self.replaced_classes} classes" if self.replaced_classes else ""
            )
            head = f"; new head ({shorten(self.fresh)}){old}"
        elif self.kept_classes:
            head = f"; the file's head for {self.kept_classes} classes kept"
        theirs = "" if self.layout == "own" else f" in {self.layout}'s layout"
        first = f"; first convolution: {self.adapted}" if self.adapted else ""
        return f"{len(self.loaded)} tensors from {self.file}{theirs}{head}{first}"


def load_foreign(
    network: nn.Module, file: Path | str, *, new_head: bool | None = False, adapt_channels: bool = False
) -> LoadedWeights:
    """Fill a network from a file of weights.

    Understood are our own files, torchvision's and timm's (the same key names but for some heads), and those of
    akamaster and kuangliu for the small-image family (`skipline.models.layouts`). Containers ("state_dict", "model",
    ...) and prefixes ("module." of DataParallel, "_orig_mod." of torch.compile, ...) are taken off. Everything is
    compared before anything is copied.

    Args:
        network: filled in place; untouched when an error is raised.
        file: `.safetensors`, `.th`, `.pt`, `.pth`, or a bundle or run folder. Pickles are read with
            `weights_only=True`, so nothing in them is executed.
        new_head: leave the classifier (and auxiliary classifiers) as it is, whatever the file holds for it:
            for other classes than the file was trained on. None does so where the file has no head, or one for
            another number of classes.
        adapt_channels: fit the first convolution by `first_layer.adapt`, should the file's take another number of
            image channels; otherwise that is an error.

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
    given = read_tensors(file)
    layout, tensors = _best_layout(given, state)
    rule = None
    if adapt_channels:
        tensors, rule = _adapted(network, tensors, state)
    heads = _heads(network, state, tensors)
    keys = tuple(key for key in state if any(key in head for head in heads))
    fresh = keys if new_head else ()
    if new_head is None:
        fresh = tuple(key for key in keys if key in _unfilled(heads, tensors, state))
    wanted = {key: value for key, value in state.items() if key not in fresh}
    offered = {key: value for key, value in tensors.items() if key not in fresh}
    offered = {**{key: value for key, value in wanted.items() if key.endswith(COUNTER)}, **offered}
    _check(wanted, offered, keys, file, given, _name_of(network))
    network.load_state_dict({**state, **offered})
    main = heads[0] if heads else ()
    classes = next((len(tensors[key]) for key in main if key in tensors and tensors[key].ndim), None)
    kept = bool(main) and main[0] not in fresh
    return LoadedWeights(
        file=file,
        layout=layout,
        loaded=tuple(key for key in wanted if key in tensors),
        fresh=fresh,
        replaced_classes=None if kept else classes,
        kept_classes=classes if kept and new_head is None else None,
        adapted=rule,
    )


def _heads(network: nn.Module, state: Tensors, tensors: Tensors) -> list[tuple[str, ...]]:
    """Keys of each layer as wide as there are classes, the main one first.

    Of an auxiliary head that the file does not have at all, all keys.
    """
    names: tuple[str, ...] = getattr(network, "classifiers", ())
    heads = []
    for name in names:
        root = f"{name.partition('.')[0]}."
        absent = name != names[0] and not any(key.startswith(root) for key in tensors)
        heads.append(
            tuple(key for key in state if key.startswith(root) and (absent or key.rpartition(".")[0] == name))
        )
    return heads


def _unfilled(heads: list[tuple[str, ...]], tensors: Tensors, state: Tensors) -> set[str]:
    """Keys of the heads that the file cannot fill: with the main one all, since its classes are other ones."""
    fits = [all(key in tensors and tensors[key].shape == state[key].shape for key in head) for head in heads]
    return {
        key for head, fit in zip(heads, fits, strict=True) if not fit or not all(fits[:1]) for key in head
    }


def _adapted(network: nn.Module, tensors: Tensors, state: Tensors) -> tuple[Tensors, str | None]:
    key = first_convolution(network)
    if key is None or key not in tensors:
        return tensors, None
    arrived, expected = tensors[key], state[key]
    same = (
        arrived.ndim == 4 and arrived.shape[:1] + arrived.shape[2:] == expected.shape[:1] + expected.shape[2:]
    )
    if not same or arrived.shape[1] in (0, expected.shape[1]):
        return tensors, None
    weight, rule = adapt(arrived, expected.shape[1])
    return {**tensors, key: weight}, rule


def _best_layout(tensors: Tensors, state: Tensors) -> tuple[str, Tensors]:
    """The reading under which most keys are known to the network; with a tie the file's own names."""
    readings = {name: read(tensors) for name, read in LAYOUTS.items()}
    layout = max(readings, key=lambda name: len(readings[name].keys() & state.keys()))
    return layout, readings[layout]


def _check(
    wanted: Tensors, offered: Tensors, head: tuple[str, ...], file: Path, given: Tensors, name: str
) -> None:
    expected = {key: tuple(value.shape) for key, value in wanted.items()}
    arrived = {key: tuple(value.shape) for key, value in offered.items()}
    if difference := describe_mismatch(expected, arrived):
        raise WeightsError(
            f"'{file}' does not fit the network: {difference}. {_remedy(expected, arrived, head, given, name)}"
        )
    damaged = [
        key for key, value in offered.items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if damaged:
        raise WeightsError(
            f"'{file}' holds values that are not finite in {shorten(damaged)}: expected trained weights, "
            "not those of a run that diverged. Take an earlier checkpoint"
        )


def _remedy(expected: Shapes, arrived: Shapes, head: tuple[str, ...], given: Tensors, name: str) -> str:
    differing = {key for key in expected.keys() | arrived.keys() if expected.get(key) != arrived.get(key)}
    if differing <= set(head):
        old, new = (
            next((shapes[key][0] for key in head if key in shapes), 0) for shapes in (arrived, expected)
        )
        kept = f"The head is for {old} classes and the network for {new}" if old else "The file has no head"
        return f"{kept}: load with new_head=True and train the head on your classes"
    if traits := traits_of({key: tuple(value.shape) for key, value in given.items()}):
        return f"The file is of another network: it has {listed(traits)}, which {name} lacks"
    if all(".downsample." in key for key in differing):
        return "The file has other shortcuts: create the network with shortcut='A', 'B' or 'C' to match it"
    if (fitting := recognise(given)) not in (None, name):
        return f"The file fits {fitting}: take that network (--model {fitting})"
    return (
        "Create the network that the file was trained with (name, shortcut, channels), or bring another file"
    )


def _name_of(network: nn.Module) -> str:
    return str(getattr(network, "name", type(network).__name__))
