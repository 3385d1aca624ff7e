"""What the probes measured at one moment: plain numbers, one record a layer, normalisation and residual block."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerReading:
    """One call of one layer (convolution, linear, normalisation or activation), on one batch.

    Attributes:
        name: path of the module; functional activations are called MODULE.relu, MODULE.relu.2 ...
        kind: class of the module, or the function's name.
        depth: place in the order of execution, from 0.
        weight_norm: L2 norm of the weight; None where it has none, as for every weight figure.
        grad_norm: L2 norm of dL/dW of the batch's mean loss; 0 where no gradient arrives; None for frozen weights.
        grad_weight_ratio: grad_norm / weight_norm.
        update_weight_ratio: L2 norm of the change of W over one optimiser step / weight_norm; None unless watched
            over a step.
        activation_grad_norm: L2 norm of dL/dx_l over the whole output tensor x_l, L being the batch's mean loss.
        mean: of the output.
        std: of the output.
        zeros: share of exact zeros in the output, 0-1; for activations.
        dead: share of units (channels) that are positive on less than 1 % of samples and places; for ReLUs.
        finite: whether output and gradient hold finite numbers only.
    """

    name: str
    kind: str
    depth: int
    weight_norm: float | None = None
    grad_norm: float | None = None
    grad_weight_ratio: float | None = None
    update_weight_ratio: float | None = None
    activation_grad_norm: float | None = None
    mean: float | None = None
    std: float | None = None
    zeros: float | None = None
    dead: float | None = None
    finite: bool = True


@dataclass(frozen=True)
class NormReading:
    """A batch normalisation's running statistics against those of the batch.

    Attributes:
        name: path of the module.
        mean_distance: mean over channels of |running mean - batch mean| / batch deviation.
        variance_ratio: median over channels of running variance / batch variance.
        training: whether it normalises with the batch in training mode.
    """

    name: str
    mean_distance: float
    variance_ratio: float
    training: bool


@dataclass(frozen=True)
class BlockReading:
    """A residual block: y = F(x) + h(x).

    Attributes:
        name: path of the block.
        rho: std(F(x)) / std(h(x)).
        fidelity: ||h(x) - x|| / ||x|| where shapes agree: 0 for an identity; None where the shape changes.
        negative: share of negative sums F(x) + h(x), which a ReLU after the sum would cut off.
        response: std of F(x), before the addition (He et al. 2015, figure 7).
        trainable: whether any parameter of the branch takes part in training.
        lesion: loss with the branch removed minus loss with it, on the same batch; None unless asked for.
    """

    name: str
    rho: float
    fidelity: float | None
    negative: float
    response: float
    trainable: bool
    lesion: float | None = None


@dataclass(frozen=True)
class Reading:
    """All probes at one moment.

    Attributes:
        step: optimiser steps done before.
        images: in the batch.
        loss: mean cross-entropy of the batch in training mode, nats.
        eval_loss: the same batch in evaluation mode; None where it was not measured.
        top1: share classified rightly, training mode.
        layers: in the order of execution.
        norms: of the batch normalisations.
        blocks: residual blocks, in the order of execution.
    """

    step: int
    images: int
    loss: float
    top1: float
    layers: tuple[LayerReading, ...]
    norms: tuple[NormReading, ...] = ()
    blocks: tuple[BlockReading, ...] = ()
    eval_loss: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; figures that are not finite become None."""
        plain: dict[str, Any] = _finite(asdict(self))
        return plain

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Reading:
        """The reading that `to_json` wrote."""
        return cls(
            **{
                **values,
                "layers": tuple(LayerReading(**layer) for layer in values["layers"]),
                "norms": tuple(NormReading(**norm) for norm in values["norms"]),
                "blocks": tuple(BlockReading(**block) for block in values["blocks"]),
            }
        )


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
