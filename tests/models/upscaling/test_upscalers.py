"""Super-resolution networks: published counts, what they begin as, how far they look, and what a bundle needs."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skipline import models
from skipline.errors import InputError, ShapeMismatchError, UnknownNameError
from skipline.models.upscaling import (
    SCALES,
    Upscaler,
    create_upscaler,
    receptive_field,
    upscaler_names,
    upscaler_spec,
)

NAMES = upscaler_names()


SLIM = {
    "vdsr": {"width": 4},
    "edsr-baseline": {"width": 4},
    "srresnet": {"width": 4},
    "espcn": {},
    "bicubic-shuffle": {"width": 4},
    "bicubic-shuffle-deep": {"width": 4},
}


def slim(name: str, **options: Any) -> Upscaler:
    """The network with few channels, which is quick and reaches as far."""
    row = upscaler_spec(name)
    return row.network(**{**row.settings, **SLIM[name], **options})


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", SCALES)
def test_the_table_is_what_is_built(name: str, scale: int) -> None:
    row, network = upscaler_spec(name), create_upscaler(name, scale=scale)
    found = models.cost(network, (3, 8, 12))
    index = SCALES.index(scale)
    assert (found.params, found.macs) == (row.params[index], row.macs_of(scale, 8, 12))
    assert network(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


def test_published_counts() -> None:
    edsr = upscaler_spec("edsr-baseline")
    assert [round(n / 1e3) for n in edsr.params] == [1370, 1554, 1518]  # papers: 1,370 K, 1,555 K, 1,518 K
    assert edsr.macs_of(2, 360, 640) / 1e9 == pytest.approx(316.3, abs=0.1)  # 1280 x 720 results
    assert count(create_upscaler("vdsr", scale=2, channels=1)) == 664_704  # 665 K
    vdsr = models.cost(create_upscaler("vdsr", scale=2, channels=1), (1, 36, 64))
    assert 100 * vdsr.macs / 1e9 == pytest.approx(612.6, abs=0.1)
    assert count(create_upscaler("srresnet", scale=4)) == 1_547_350  # 1.5 M
    # 64 x 25 + 64, 32 x 64 x 9 + 32, 9 x 32 x 9 + 9
    assert count(create_upscaler("espcn", scale=3, channels=1)) == 1_664 + 18_464 + 2_601
    deep = upscaler_spec("bicubic-shuffle-deep")
    assert deep.params[0] / edsr.params[0] == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("name", NAMES)
def test_with_the_global_residual_a_fresh_network_is_the_bicubic_enlargement(name: str) -> None:
    images = torch.rand(1, 3, 6, 5)
    network = create_upscaler(name, scale=2, global_residual=True)
    assert (network(images) == network.enlarge(images)).all()
    twin = create_upscaler(name, scale=2, global_residual=False)
    assert (twin(images) - twin.enlarge(images)).abs().max() > 0.01
    assert count(twin) == count(network)


@pytest.mark.parametrize("name", NAMES)
def test_without_it_the_result_is_what_the_layers_make(name: str) -> None:
    images = torch.rand(1, 3, 6, 5)
    network = create_upscaler(name, scale=3, global_residual=True, seed=0).eval()
    twin = create_upscaler(name, scale=3, global_residual=False, seed=1).eval()
    network.load_state_dict(twin.state_dict())
    made = network(images) - network.enlarge(images)
    mean = twin.get_buffer("mean") if name == "edsr-baseline" else 0
    torch.testing.assert_close(made, twin(images) - mean, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_learns(name: str) -> None:
    network = create_upscaler(name, scale=2, seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(2):  # in the first step the layers before a last one of zeros have no gradient
        optimizer.zero_grad()
        nn.functional.mse_loss(network(torch.rand(2, 3, 6, 6)), torch.rand(2, 3, 12, 12)).backward()
        optimizer.step()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def open_up(network: Upscaler) -> Upscaler:
    """Weights that let every pixel in the receptive field through."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network.double().eval()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("global_residual", [True, False])
def test_the_receptive_field_is_where_the_gradient_is(name: str, scale: int, global_residual: bool) -> None:
    network = open_up(slim(name, scale=scale, channels=1, global_residual=global_residual))
    reach = receptive_field(network)
    middle = reach + 2
    images = torch.rand(1, 1, 2 * middle + 1, 2 * middle + 1, dtype=torch.double) + 0.1
    images.requires_grad_()
    at = slice(middle * scale, (middle + 1) * scale)
    results = network(images)[0, 0, at, at]  # all that the pixel in the middle becomes
    chances = torch.rand(results.shape, dtype=torch.double)  # so that no two taps cancel out
    (gradient,) = torch.autograd.grad((results * chances).sum(), images)
    rows, columns = (gradient[0, 0].abs().sum(dim) > 0 for dim in (1, 0))
    for line in (rows, columns):
        seen = line.nonzero()
        assert (int(seen.min()), int(seen.max())) == (middle - reach, middle + reach)


@pytest.mark.parametrize("name", NAMES)
def test_options_build_the_same_network_again(name: str) -> None:
    network = create_upscaler(name, scale=3, channels=1, seed=5)
    options = json.loads(json.dumps(network.options))
    again = create_upscaler(network.name, **options)
    assert again.name == name
    assert again.options == options
    for key, value in network.state_dict().items():
        assert (again.state_dict()[key] == value).all(), key
    images = torch.rand(1, 1, 4, 4)
    assert (network.eval()(images) == again.eval()(images)).all()


def test_residual_scaling_is_that_of_every_block() -> None:
    network = create_upscaler("edsr-baseline", scale=2, residual_scaling=0.1)
    assert network.options["residual_scaling"] == 0.1
    block = network.get_submodule("blocks.3")
    x = torch.rand(1, 64, 5, 5)
    torch.testing.assert_close(block(x) - x, 0.1 * block.get_submodule("branch")(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 5}, "the scale must be 2, 3 or 4, got 5"),
        (
            {"scale": 2, "channels": 4},
            "a super-resolution network takes 1 channel (grey) or 3 (RGB), got 4",
        ),
        (
            {"scale": 2, "residual_scaling": 0.1},
            "espcn has no option residual_scaling, got 0.1: leave it out",
        ),
    ],
)
def test_mistakes_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as error:
        create_upscaler("espcn", **options)  # type: ignore[arg-type]
    assert str(error.value) == message
    with pytest.raises(InputError, match=r"residual_scaling is in \(0, 1\], got 2"):
        create_upscaler("edsr-baseline", scale=2, residual_scaling=2)


def test_unknown_names_get_the_nearest_and_the_two_catalogues_share_none() -> None:
    with pytest.raises(UnknownNameError) as error:
        create_upscaler("edsr", scale=2)
    assert str(error.value) == (
        "no super-resolution network is called 'edsr'. Did you mean vdsr? There are vdsr, edsr-baseline, srresnet, "
        "espcn, bicubic-shuffle, bicubic-shuffle-deep."
    )
    assert not set(models.names()) & set(NAMES)
    with pytest.raises(UnknownNameError):
        models.create("vdsr")
    with pytest.raises(UnknownNameError):
        create_upscaler("resnet20", scale=2)


def test_images_that_do_not_fit_are_refused_in_words() -> None:
    network = create_upscaler("espcn", scale=2)
    with pytest.raises(ShapeMismatchError) as grey:
        network(torch.rand(1, 1, 8, 8))
    assert str(grey.value) == (
        "espcn takes images of shape (N, 3, height, width), got (1, 1, 8, 8): bring the images to this shape, "
        "or create the network with channels= those of the images"
    )
    with pytest.raises(ShapeMismatchError, match=r"at least 2 x 2 pixels, got 1 x 8"):
        network(torch.rand(1, 3, 1, 8))


@pytest.mark.parametrize("name", NAMES)
def test_an_onnx_file_takes_images_of_any_size(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    blocks = {"vdsr": {"depth": 3}, "edsr-baseline": {"blocks": 1}, "srresnet": {"blocks": 1}}
    few = {"scale": 3, "channels": 3} | blocks.get(name, {"depth": 3} if name != "espcn" else {})
    network = slim(name, global_residual=True, **few).eval()
    network.load_state_dict(slim(name, global_residual=False, **few).state_dict())
    file = tmp_path / "network.onnx"
    sides = {2: torch.export.Dim("height", min=2), 3: torch.export.Dim("width", min=2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.rand(1, 3, 8, 9),), file, dynamo=True, dynamic_shapes=(sides,), verbose=False
        )
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for size in ((8, 9), (2, 2), (21, 5)):
        images = torch.rand(1, 3, *size)
        (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        with torch.no_grad():
            assert np.abs(found - network(images).numpy()).max() < 1e-5
