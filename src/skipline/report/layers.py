"""What happened inside a network, layer by layer: panels from the probes' readings.

Shared by the report of a run and that of a diagnosis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from skipline.report.charts import thinned
from skipline.report.layers_blocks import block_panels, norm_panel
from skipline.report.panels import Band, BarsPanel, Frame, HeatPanel, LinesPanel, Panel
from skipline.report.probe_record import LayerProbe, Probe

MOST_LINES = 4  # moments in a chart of lines over depth
Figure = Callable[[LayerProbe], float | None]
Key = tuple[str, int]  # a layer's name, and which of its calls: shared modules are called several times


def layer_panels(readings: Sequence[Probe]) -> list[Panel]:
    """Charts of gradients, activations, residual blocks and normalisations.

    Args:
        readings: by step, ascending.

    Returns:
        The panels for which there are figures; none for no readings.
    """
    if not readings:
        return []
    panels = [
        _weight_gradients(readings),
        _gradient_ratios(readings),
        _update_ratios(readings),
        _through_depth(readings),
        _gradient_map(readings),
        _spreads(readings),
        _zeros(readings),
        *block_panels(readings),
        norm_panel(readings),
    ]
    return [panel for panel in panels if panel is not None]


def moments(readings: Sequence[Probe]) -> list[str]:
    """What each reading is called: its step."""
    return [f"step {reading.step:,}" for reading in readings]


def _weighted(layer: LayerProbe) -> bool:
    return layer.weight_norm is not None and not layer.normalises


def _keyed(reading: Probe, wanted: Callable[[LayerProbe], bool]) -> dict[Key, LayerProbe]:
    calls: dict[str, int] = {}
    found: dict[Key, LayerProbe] = {}
    for layer in sorted(reading.layers, key=lambda layer: layer.depth):
        calls[layer.name] = calls.get(layer.name, 0) + 1
        if wanted(layer):
            found[(layer.name, calls[layer.name])] = layer
    return found


def _grid(
    readings: Sequence[Probe], wanted: Callable[[LayerProbe], bool], figures: dict[str, Figure]
) -> tuple[list[str], list[dict[str, tuple[float | None, ...]]]]:
    """Names of the wanted layers of all readings, and the figures of each reading in that order."""
    by_reading = [_keyed(reading, wanted) for reading in readings]
    keys: dict[Key, None] = {}
    for found in by_reading:
        keys |= dict.fromkeys(found)
    values = [
        {
            name: tuple(figure(found[key]) if key in found else None for key in keys)
            for name, figure in figures.items()
        }
        for found in by_reading
    ]
    return [name if call == 1 else f"{name} (call {call})" for name, call in keys], values


def _bars(
    readings: Sequence[Probe],
    wanted: Callable[[LayerProbe], bool],
    figures: dict[str, Figure],
    *,
    title: str,
    explanation: tuple[str, ...],
    y_label: str,
    log: bool,
) -> BarsPanel | None:
    names, values = _grid(readings, wanted, figures)
    frames = [
        Frame(name=moment, values=found)
        for moment, found in zip(moments(readings), values, strict=True)
        if any(value is not None for series in found.values() for value in series)
    ]
    if not frames:
        return None
    return BarsPanel(
        title=title,
        explanation=explanation,
        categories=tuple(names),
        y_label=y_label,
        log=log,
        frames=tuple(frames),
    )


def _weight_gradients(readings: Sequence[Probe]) -> BarsPanel | None:
    return _bars(
        readings,
        _weighted,
        {"|dL/dW|": lambda layer: layer.grad_norm},
        title="Gradient of the weights, layer by layer",
        explanation=(
            "Length (L2 norm) of the loss's gradient with respect to the weights of each convolution and linear "
            "layer, on one batch; the network's input is at the left. On the logarithmic scale equal distances "
            "are equal factors. No bar: exactly zero, or not measured; the table below tells which.",
            "Healthy: neighbours of a similar order and no trend over the whole depth. Heights that shrink "
            "steadily towards the input are a vanishing gradient, the mark of deep networks without "
            "normalisation; heights that grow towards the input, an exploding one.",
            "Look at step 0 and at later steps: batch normalisation makes gradients of deep plain networks "
            "explode at initialisation, and a step of training narrows the range (Yang et al. 2019). Healthy "
            "bars do not promise that a network trains well: the degrading plain networks of He et al. (2015), "
            "batch-normalised, had healthy gradient norms.",
        ),
        y_label="|dL/dW|",
        log=True,
    )


def _gradient_ratios(readings: Sequence[Probe]) -> BarsPanel | None:
    return _bars(
        readings,
        _weighted,
        {"|dL/dW| / |W|": lambda layer: layer.grad_weight_ratio},
        title="Gradient against weight, layer by layer",
        explanation=(
            "The same gradients divided by the length of the weights they act on, so that large and small layers "
            "can be compared. With plain SGD, times the learning rate, it is the relative size of a step.",
            "Healthy: all layers within one or two powers of ten. A layer far below the others hardly moves "
            "under plain SGD while they learn; Adam rescales each weight's step, so there the update ratio, "
            "where it was measured, tells more.",
        ),
        y_label="|dL/dW| / |W|",
        log=True,
    )


def _update_ratios(readings: Sequence[Probe]) -> BarsPanel | None:
    return _bars(
        readings,
        _weighted,
        {"|change of W| / |W|": lambda layer: layer.update_weight_ratio},
        title="Update against weight, layer by layer",
        explanation=(
            "How far one optimiser step really moved each layer's weights, relative to their length: measured on "
            "the weights, so momentum, Adam's scaling and weight decay are in it.",
            "A rule of thumb (CS231n) is around 1e-3. Far above it weights are thrown about, far below they "
            "hardly move; published alarms differ by powers of ten, and a schedule that ends near zero lowers "
            "all bars at the end.",
        ),
        y_label="|change of W| / |W|",
        log=True,
    )


def _through_depth(readings: Sequence[Probe]) -> LinesPanel | None:
    names, values = _grid(readings, lambda _: True, {"norm": lambda layer: layer.activation_grad_norm})
    series = []
    for i in thinned(len(readings), MOST_LINES):
        norms = tuple(value if value else None for value in values[i]["norm"])  # zero has no logarithm
        if any(value is not None for value in norms):
            places = tuple(float(place) for place in range(1, len(names) + 1))
            series.append(Band(name=moments(readings)[i], x=places, y=norms, dashed=i == 0))
    if not series or len(names) < 2:
        return None
    return LinesPanel(
        title="The gradient's way through the layers",
        explanation=(
            "Length of the loss's gradient with respect to each layer's output, from the first layer (left) to "
            "the last; the backward pass runs from right to left. Dashed: the first reading.",
            "On the logarithmic scale a straight slope means that every layer multiplies the gradient by the "
            "same factor: rising to the right it vanishes towards the input, falling to the right it grows. "
            "Healthy: level, with steps where the size of the feature maps changes.",
        ),
        x_label="layer, in the order of execution",
        y_label="|dL/dx|",
        log_y=True,
        markers=len(names) <= 40,
        series=tuple(series),
    )


def _gradient_map(readings: Sequence[Probe]) -> HeatPanel | None:
    if len(readings) < 2:
        return None
    names, values = _grid(readings, _weighted, {"norm": lambda layer: layer.grad_norm})
    if not names:
        return None
    columns = [found["norm"] for found in values]
    return HeatPanel(
        title="Gradient of the weights over training",
        explanation=(
            "The same norms for all readings at once: one row a layer, the input at the top, one column a "
            "reading; the colour is logarithmic. Crossed cells are zero or have no value.",
            "Healthy: rows of a similar shade at any one moment. Gradients of all layers fall together as the "
            "loss falls; a row or a block of rows that stays apart shows where learning is slow.",
        ),
        columns=tuple(f"{reading.step:,}" for reading in readings),
        rows=tuple(names),
        x_label="step",
        y_label="layer",
        value_label="|dL/dW|",
        z=tuple(tuple(column[row] for column in columns) for row in range(len(names))),
        log=True,
    )


def _spreads(readings: Sequence[Probe]) -> BarsPanel | None:
    return _bars(
        readings,
        _weighted,
        {"standard deviation": lambda layer: layer.std},
        title="Spread of the activations, layer by layer",
        explanation=(
            "Standard deviation of the output of each convolution and linear layer, over the batch, channels and "
            "places.",
            "Healthy: the same order of magnitude through the depth. A steady fall means that the signal dies "
            "out on its way forward, a steady rise that it grows: both speak of the scale of initial weights, "
            "where no normalisation resets it. In residual networks the spread may grow from block to block, "
            "since each adds to the sum.",
        ),
        y_label="standard deviation",
        log=True,
    )


def _zeros(readings: Sequence[Probe]) -> BarsPanel | None:
    return _bars(
        readings,
        lambda layer: layer.zeros is not None or layer.dead is not None,
        {
            "zeros": lambda layer: None if layer.zeros is None else 100 * layer.zeros,
            "dead units": lambda layer: None if layer.dead is None else 100 * layer.dead,
        },
        title="Zeros and dead units after the activations",
        explanation=(
            "Share of exact zeros in the output of each activation, and share of its channels that are positive "
            "on less than 1 % of samples and places of this batch: dead, as far as this batch can tell.",
            "Healthy: with ReLU around half of the outputs are zeros, and hardly any unit is dead. Above half "
            "of a layer dead, an alarm of SageMaker Debugger, the layer has lost most of its capacity: no "
            "gradient passes a unit that never fires.",
        ),
        y_label="per cent",
        log=False,
    )
