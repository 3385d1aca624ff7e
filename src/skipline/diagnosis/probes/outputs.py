"""What networks return: logits alone, or among other things."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from skipline.errors import InputError
from skipline.models import Outputs
from skipline.training.losses import AUXILIARY_WEIGHT, training_loss

KEYS = ("logits", "out", "output")


def logits_of(output: Any) -> torch.Tensor:
    """The (N, K) logits of the main head.

    Args:
        output: the logits; a dictionary or an object that has them as `logits`; or a tuple that begins with them.

    Raises:
        InputError: nothing of the kind.
    """
    found = _candidate(output)
    if isinstance(found, torch.Tensor) and found.dim() == 2 and found.is_floating_point():
        return found
    arrived = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(output)
    raise InputError(
        f"the probes expect logits of shape (N, classes), alone, first in a tuple or called 'logits', and the network "
        f"returned {arrived}: measure the module that ends with the logits, or pass loss="
    )


def losses_of(output: Any, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What training minimises and the mean cross-entropy of the main head; they differ by auxiliary heads.

    Args:
        output: what the network returned. Auxiliary heads count 0.3 each where the fields' names tell them, as in
            torchvision's GoogLeNet and in `Outputs`.
        targets: (N,) int64 classes or (N, K) probabilities.

    Raises:
        InputError: no logits in it.
    """
    logits = logits_of(output)
    main = F.cross_entropy(logits.float(), targets)
    if isinstance(output, Outputs):
        return training_loss(output, targets, 0.0), main
    total = main
    fields: dict[str, Any] = getattr(output, "_asdict", dict)()
    for name, value in fields.items():
        if name.startswith("aux") and isinstance(value, torch.Tensor) and value.shape == logits.shape:
            total = total + AUXILIARY_WEIGHT * F.cross_entropy(value.float(), targets)
    return total, main


def share_right(output: Any, targets: torch.Tensor) -> torch.Tensor:
    """Share classified rightly; of mixed images the larger share counts. NaN where there are no logits."""
    try:
        logits = logits_of(output)
    except InputError:
        return torch.tensor(float("nan"))
    classes = targets.argmax(1) if targets.dim() == 2 else targets
    if classes.shape != logits.shape[:1]:
        return torch.tensor(float("nan"))
    return (logits.detach().argmax(1) == classes).float().mean()


def _candidate(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, dict):
        named = next((output[key] for key in KEYS if key in output), None)
        return named if named is not None else next(iter(output.values()), None)
    named = next((value for key in KEYS if (value := getattr(output, key, None)) is not None), None)
    if named is None and isinstance(output, tuple | list) and output:
        return _candidate(output[0])
    return named
