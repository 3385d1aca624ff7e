"""Rules on how signals and gradients travel through the depth of the network."""

from __future__ import annotations

import math
from statistics import median

from skipline.diagnosis.evidence import Evidence, weighted
from skipline.diagnosis.findings import Finding
from skipline.diagnosis.probes.reading import LayerReading, Reading
from skipline.diagnosis.rules.rule import CALIBRATED, ends, gated, no_trial

FEWEST_LAYERS = 4
FALL = 30.0  # times, over the depth
FAINT = 1e-3  # gradient / weight of the first third: a sound layer has 1e-2 and more at the start
RISE = 1000.0
LARGE = 1000.0  # norm of the whole gradient (trainsight: critical)
DEAD_LAYER = 0.5  # share of units (SageMaker Debugger)
FADE = 100.0  # times, of the activations over the depth
SMALL_WEIGHTS, LARGE_WEIGHTS = 0.15, 5.0  # median of deviation / He's; PyTorch's own default has 0.41
FIRST_LOSS = 3.0  # times the loss of guessing
ASLEEP = 1e-8  # std(F) / std(x)
TINY = 1e-30  # stands for gradients that underflowed


def vanishing(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Gradients that fall towards the input, and are faint there."""
    reason = no_trial(evidence) or _too_shallow(evidence)
    if reason:
        return reason
    assert evidence.start is not None
    readings = (evidence.start, *evidence.later)
    found = [
        (reading, layers, fall)
        for reading in readings
        if len(layers := _with_gradient(reading)) >= FEWEST_LAYERS
        and (fall := _fall(layers)) >= FALL
        and _faint(layers)
    ]
    # It must last: what one reading alone shows is how training began, or a moment of it.
    if readings[-1] not in [reading for reading, _, _ in found]:
        return ()
    if evidence.learns and len(found) < len(readings):
        return ()
    reading, layers, fall = max(found, key=lambda item: item[2])
    third = max(1, len(layers) // 3)
    return (
        Finding(
            diagnosis="vanishing gradient",
            severity=gated(evidence),
            where=ends([layer.name for layer in layers[:third]]),
            value=fall,
            threshold=FALL,
            source=CALIBRATED,
            remedy="batch normalisation, He initialisation, or shortcuts around pairs of layers",
            sentence=(
                f"|dL/dx| falls {_times(fall)} from {layers[-1].name} to {layers[0].name} at step {reading.step} "
                f"(alarm at {FALL:.0f} x), and the gradient of the first layers is "
                f"{_ratio(layers[:third]):.1e} of their weight"
            ),
            treatments=("shortcuts", "normalisation", "he-initialisation"),
        ),
    )


def exploding(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Gradients that grow towards the input and stay so, or that are large or not finite as a whole."""
    reason = no_trial(evidence)
    if reason:
        return reason
    if evidence.start is None:
        return "no reading before the first step"
    start = evidence.start
    broken = [layer.name for layer in start.layers if not layer.finite]
    total = _total(start)
    common = {
        "diagnosis": "exploding gradient",
        "remedy": "normalisation, a smaller initialisation, or gradient clipping and a lower rate",
        "treatments": ("normalisation", "he-initialisation", "clip-gradients", "shortcuts"),
    }
    if broken or not math.isfinite(start.loss):
        return (
            Finding(
                severity="error",
                where=ends(broken),
                value=None,
                threshold=None,
                source="not finite",
                sentence="outputs or gradients are not finite before the first step",
                **common,  # type: ignore[arg-type]
            ),
        )
    layers = _with_gradient(start)
    rise = 1 / _fall(layers) if len(layers) >= FEWEST_LAYERS else 0.0
    later = [
        1 / _fall(found)
        for reading in evidence.later
        if len(found := _with_gradient(reading)) >= FEWEST_LAYERS
    ]
    # At initialisation BN makes the gradients of deep plain networks explode, and a step later that is gone
    # (1902.08129): only what lasts, or ends training, is a finding.
    lasts = evidence.failed is not None or bool(evidence.later)
    if rise >= RISE and lasts and max(later, default=rise) >= RISE / 10:
        return (
            Finding(
                severity=gated(evidence),
                where=ends([layer.name for layer in layers]),
                value=rise,
                threshold=RISE,
                source=CALIBRATED,
                sentence=f"|dL/dx| grows {_times(rise)} from {layers[-1].name} to {layers[0].name} at step 0 "
                f"(alarm at {RISE:,.0f} x)" + (f", and still {_times(max(later))} later" if later else ""),
                **common,  # type: ignore[arg-type]
            ),
        )
    totals = [_total(reading) for reading in evidence.later]
    if total >= LARGE and lasts and max(totals, default=total) >= LARGE / 10:
        return (
            Finding(
                severity=gated(evidence),
                where="",
                value=total,
                threshold=LARGE,
                source="trainsight (critical)",
                sentence=f"the norm of the whole gradient is {total:,.0f} before the first step "
                f"(alarm at {LARGE:,.0f})" + (f", and up to {max(totals):,.0f} later" if totals else ""),
                **common,  # type: ignore[arg-type]
            ),
        )
    return ()


def dead(evidence: Evidence) -> tuple[Finding, ...] | str:
    """ReLUs whose units are hardly ever positive."""
    readings = [*evidence.readings[:1], *evidence.readings[-1:]]
    if evidence.final is not None:
        readings = [evidence.final]
    if not readings:
        return no_trial(evidence) or "no reading of the probes"
    if not any(layer.dead is not None for reading in readings for layer in reading.layers):
        return "the network has no ReLU"
    worst: list[tuple[str, float]] = []
    for reading in readings:
        found = [
            (layer.name, layer.dead)
            for layer in reading.layers
            if layer.dead is not None and layer.dead > DEAD_LAYER
        ]
        if max((share for _, share in found), default=0) > max((share for _, share in worst), default=0):
            worst = found
    if not worst:
        return ()
    share = max(value for _, value in worst)
    return (
        Finding(
            diagnosis="dead ReLU",
            severity=gated(evidence),
            where=ends([name for name, _ in worst]),
            value=share,
            threshold=DEAD_LAYER,
            source="SageMaker Debugger",
            remedy="a lower rate, He initialisation, biases at 0, or leaky ReLUs",
            sentence=f"up to {share:.0%} of a layer's units are positive on less than 1 % of samples and places, in "
            f"{len(worst)} layer{'s' if len(worst) > 1 else ''} (alarm at {DEAD_LAYER:.0%})",
            treatments=("relu-bias", "he-initialisation", "lower-rate"),
        ),
    )


def initialisation(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Weights far from the scale that keeps signals alive, as seen before the first step."""
    if evidence.mismatch is not None:
        return "the forward pass fails (see shape mismatch)"
    if evidence.start is None:
        return "no reading before the first step"
    common = {
        "diagnosis": "bad initialisation",
        "where": "",
        "remedy": "He initialisation",
        "treatments": ("he-initialisation", "normalisation"),
    }
    found: list[Finding] = []
    if len(evidence.weight_scales) >= FEWEST_LAYERS - 1:
        scale = median(evidence.weight_scales.values())
        if not SMALL_WEIGHTS <= scale <= LARGE_WEIGHTS:
            limit = SMALL_WEIGHTS if scale < SMALL_WEIGHTS else LARGE_WEIGHTS
            found.append(
                Finding(
                    severity=gated(evidence),
                    value=scale,
                    threshold=limit,
                    source=CALIBRATED,
                    sentence=f"the weights begin at {scale:.2g} times He's deviation, median over "
                    f"{len(evidence.weight_scales)} layers (alarm below {SMALL_WEIGHTS} and above {LARGE_WEIGHTS:g})",
                    **common,  # type: ignore[arg-type]
                )
            )
    layers = [layer for layer in weighted(evidence.start) if layer.std]
    if len(layers) >= FEWEST_LAYERS:
        third = max(1, len(layers) // 3)
        early, late = median(_std(layers[:third])), median(_std(layers[-third:]))
        factor = max(early / late, late / early)
        if factor >= FADE:
            verb = "shrinks" if late < early else "grows"
            found.append(
                Finding(
                    severity=gated(evidence),
                    value=factor,
                    threshold=FADE,
                    source=CALIBRATED,
                    sentence=f"the deviation of the activations {verb} {_times(factor)} from the first to the last "
                    f"third of the layers at step 0 (alarm at {FADE:.0f} x)",
                    **common,  # type: ignore[arg-type]
                )
            )
    guess = max(evidence.guess, math.log(max(2, evidence.outputs)))
    if evidence.losses and evidence.losses[0] > FIRST_LOSS * guess:
        found.append(
            Finding(
                severity=gated(evidence),
                value=evidence.losses[0],
                threshold=FIRST_LOSS * guess,
                source=f"{CALIBRATED}; Karpathy's recipe: the first loss should be ln K",
                sentence=f"the first loss is {evidence.losses[0]:.2f}, guessing gives {guess:.2f} "
                f"(alarm at {FIRST_LOSS:g} x)",
                **common,  # type: ignore[arg-type]
            )
        )
    return tuple(found[:1])


def fall_over_depth(values: list[float]) -> float:
    """How many times a quantity falls from the last layer to the first, by the line through its logarithms.

    Args:
        values: in the order of execution, at least two.

    Returns:
        Above 1 where it falls towards the input, below 1 where it grows.
    """
    logs = [math.log10(max(value, TINY)) for value in values]
    count = len(logs)
    middle = (count - 1) / 2
    average = sum(logs) / count
    slope = sum((place - middle) * (value - average) for place, value in enumerate(logs)) / sum(
        (place - middle) ** 2 for place in range(count)
    )
    return float(10 ** min(300.0, max(-300.0, slope * (count - 1))))


def _fall(layers: list[LayerReading]) -> float:
    """Of dL/dx and of gradient / weight, the less dramatic of the two where they agree, else none."""
    by_signal = fall_over_depth([layer.activation_grad_norm or 0.0 for layer in layers])
    by_weight = fall_over_depth([layer.grad_weight_ratio or 0.0 for layer in layers])
    if (by_signal > 1) != (by_weight > 1):
        return 1.0
    return min(by_signal, by_weight) if by_signal > 1 else max(by_signal, by_weight)


def _with_gradient(reading: Reading) -> list[LayerReading]:
    """The layers to compare; branches that begin at 0 (zero gamma) pass no gradient yet, and are left out."""
    asleep = any(block.rho <= ASLEEP for block in reading.blocks)
    return [
        layer
        for layer in weighted(reading)
        if layer.activation_grad_norm is not None
        and layer.grad_weight_ratio is not None
        and layer.finite
        and not (asleep and layer.grad_weight_ratio <= TINY)
    ]


def _too_shallow(evidence: Evidence) -> str | None:
    if evidence.start is None:
        return "no reading before the first step"
    count = len(_with_gradient(evidence.start))
    if count < FEWEST_LAYERS:
        return f"the network has {count} layers with a gradient, fewer than {FEWEST_LAYERS}"
    return None


def _ratio(layers: list[LayerReading]) -> float:
    return median(layer.grad_weight_ratio or 0.0 for layer in layers)


def _faint(layers: list[LayerReading]) -> bool:
    return _ratio(layers[: max(1, len(layers) // 3)]) < FAINT


def _total(reading: Reading) -> float:
    return math.sqrt(sum((layer.grad_norm or 0.0) ** 2 for layer in reading.layers))


def _std(layers: list[LayerReading]) -> list[float]:
    return [max(layer.std or 0.0, TINY) for layer in layers]


def _times(factor: float) -> str:
    return f"{factor:,.0f} x" if factor < 1e5 else f"{factor:.0e} x"
