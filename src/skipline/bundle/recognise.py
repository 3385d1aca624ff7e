"""Which network of the catalogue a file of weights belongs to, by names and shapes alone."""

from __future__ import annotations

import torch

from skipline.bundle.first_layer import first_convolution
from skipline.bundle.weight_files import Tensors
from skipline.models import LAYOUTS, Network, create, names, spec

# A head for other classes changes the number of parameters by less than this share.
SIMILAR = 0.3
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def recognise(tensors: Tensors) -> str | None:
    """The name of the network that tensors fill, whatever its number of classes and of image channels.

    Networks without parameters in their shortcuts have the same tensors as their plain twins; the residual one is
    named.

    Args:
        tensors: by name, in any of the layouts.

    Returns:
        A name of the catalogue, None where no network fits.
    """
    # The catalogue counts what a prediction uses, and so leaves auxiliary heads out.
    count = sum(
        value.numel()
        for key, value in tensors.items()
        if not key.endswith(STATISTICS) and not key.startswith("aux")
    )
    near = [name for name in names() if abs(spec(name).params - count) <= SIMILAR * spec(name).params]
    readings = [read(tensors) for read in LAYOUTS.values()]
    for name in sorted(near, key=lambda name: abs(spec(name).params - count)):
        with torch.device("meta"):
            network = create(name)
        if any(_fits(network, reading) for reading in readings):
            return name
    return None


def _fits(network: Network, tensors: Tensors) -> bool:
    first = first_convolution(network)

    def shapes(state: Tensors) -> dict[str, tuple[int, ...]]:
        found = {
            key: tuple(value.shape)
            for key, value in state.items()
            if key.rpartition(".")[0] not in network.classifiers and not key.endswith(STATISTICS[-1])
        }
        if first in found:
            found[first] = (*found[first][:1], *found[first][2:])  # all but the image channels
        return found

    return shapes(network.state_dict()) == shapes(tensors)
