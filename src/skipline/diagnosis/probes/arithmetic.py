"""From raw figures to readings."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from skipline.diagnosis.probes.figures import DEAD_BELOW, Values, mean_and_std
from skipline.diagnosis.probes.reading import BlockReading, LayerReading, NormReading
from skipline.diagnosis.probes.recording import Noted


def layer_reading(noted: Noted, raw: Mapping[str, Values], depth: int) -> LayerReading:
    """The reading of one call of a layer."""
    values: dict[str, float] = {}
    values["mean"], values["std"] = mean_and_std(raw["sum"].item(), raw["norm"].item(), noted.count)
    if "positive" in raw:
        values["zeros"] = 1 - raw["positive"].mean().item()
        values["dead"] = np.mean(raw["positive"] < DEAD_BELOW).item()
    elif "nonzero" in raw:
        values["zeros"] = 1 - raw["nonzero"].item() / noted.count
    if noted.differentiable:
        # 0: nothing that the loss depends on uses it.
        values["activation_grad_norm"] = raw["gradient"].item() if "gradient" in raw else 0.0
    if "weight" in raw:
        values["weight_norm"] = raw["weight"].item()
    if "weight gradient" in raw:
        values["grad_norm"] = raw["weight gradient"].item()
        values["grad_weight_ratio"] = ratio(values["grad_norm"], values["weight_norm"])
    of_gradients = (values.get(name, 0.0) for name in ("activation_grad_norm", "grad_norm"))
    finite = all(math.isfinite(value) for value in (raw["norm"].item(), *of_gradients))
    return LayerReading(noted.name, noted.kind, depth, finite=finite, **values)


def norm_reading(noted: Noted, raw: Mapping[str, Values]) -> NormReading:
    """The reading of one call of a batch normalisation; its epsilon keeps silent channels from dividing by zero."""
    variance = raw["variance"] + noted.epsilon
    distance = np.abs(raw["running_mean"] - raw["mean"]) / np.sqrt(variance)
    variances = (raw["running_variance"] + noted.epsilon) / variance
    return NormReading(noted.name, distance.mean().item(), np.median(variances).item(), noted.training)


def block_reading(noted: Noted, raw: Mapping[str, Values], lesion: float | None) -> BlockReading:
    """The reading of one residual sum."""
    _, residual = mean_and_std(raw["residual sum"].item(), raw["residual norm"].item(), noted.count)
    _, shortcut = mean_and_std(raw["shortcut sum"].item(), raw["shortcut norm"].item(), noted.count)
    arriving = [raw[name].item() for name in raw if name.startswith("parameter ")]
    # A head of zeros lets no gradient through to any block at step 0, which says nothing about the branch.
    silent = "gradient" not in raw or raw["gradient"].item() == 0
    return BlockReading(
        name=noted.name,
        rho=ratio(residual, shortcut),
        fidelity=ratio(raw["distance"].item(), raw["length"].item()) if "distance" in raw else None,
        negative=raw["negative"].item() / noted.count,
        response=residual,
        trainable=any(gradient != 0 for gradient in arriving) or (silent and bool(noted.parameters)),
        lesion=lesion,
    )


def ratio(part: float, whole: float) -> float:
    """The share of a part in a whole; 0 / 0 is 0, anything else over 0 infinite."""
    if whole:
        return part / whole
    return math.inf if part else 0.0
