"""The fused batch norm against PyTorch's operations one after another."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from skipline import kernels
from skipline.kernels import available, batchnorm_library, fused_batch_norm
from skipline.kernels import compile as compiling
from skipline.models import create

SHAPES = [
    (4, 1, 6, 6),
    (4, 3, 5, 7),
    (2, 5, 9, 4),
    (128, 16, 8, 8),
    (3, 17, 13, 11),
    (2, 64, 7, 7),
    (2, 100, 3, 3),
    (1, 16, 3, 5),  # batch 1
    (8, 17, 1, 1),  # one pixel
    (2, 2048, 2, 3),
    (5, 16, 64, 64),  # more than one block, and enough for threads
]
KINDS = [(False, False), (False, True), (True, False), (True, True)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile once for all tests of this file."""
    return tmp_path_factory.mktemp("kernels-home")


@pytest.fixture(autouse=True)
def _compiled(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIPLINE_HOME", str(home))
    if batchnorm_library() is None:
        batchnorm_library.cache_clear()
        if batchnorm_library() is None:
            pytest.skip("no C compiler, or torch without GNU OpenMP")


def channels_last(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to(dtype).to(memory_format=torch.channels_last)


def norm(channels: int) -> nn.BatchNorm2d:
    bn = nn.BatchNorm2d(channels, momentum=0.3)
    nn.init.uniform_(bn.weight, -1.5, 1.5)
    nn.init.normal_(bn.bias)
    nn.init.normal_(bn.running_mean)
    return bn


def separately(
    x: torch.Tensor, bn: nn.BatchNorm2d, residual: torch.Tensor | None, relu: bool
) -> torch.Tensor:
    y = bn(x)
    y = y if residual is None else y + residual
    return F.relu(y) if relu else y


def everything(function, x, bn, residual, relu, dy) -> dict[str, torch.Tensor]:
    """The result, all gradients and all statistics, in float64."""
    bn, x = copy.deepcopy(bn), x.detach().clone().requires_grad_()
    residual = None if residual is None else residual.detach().clone().requires_grad_()
    y = function(x, bn, residual, relu)
    y.backward(dy)
    found = {
        "y": y.detach(),
        "dx": x.grad,
        "dgamma": bn.weight.grad,
        "dbeta": bn.bias.grad,
        **bn.state_dict(),
    }
    if residual is not None:
        found["dresidual"] = residual.grad
    return {name: value.double() for name, value in found.items()}


def inputs(shape, residual, dtype=torch.float32):
    x = channels_last(*shape, dtype=dtype)
    other = channels_last(*shape, dtype=dtype) if residual else None
    return 2 * x + 3, norm(shape[1]), other, channels_last(*shape, dtype=dtype)


def in_double(bn: nn.BatchNorm2d, *tensors: torch.Tensor | None):
    return copy.deepcopy(bn).double(), *[None if t is None else t.double() for t in tensors]


@pytest.mark.parametrize(("residual", "relu"), KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_fp32_is_the_float64_result_but_for_rounding(shape, residual, relu):
    x, bn, other, dy = inputs(shape, residual)
    assert available(x, bn, other)
    ours = everything(fused_batch_norm, x, bn, other, relu, dy)
    bn64, x64, other64, dy64 = in_double(bn, x, other, dy)
    exact = everything(separately, x64, bn64, other64, relu, dy64)
    assert ours.keys() == exact.keys()
    sums = x.numel() / shape[1]  # gamma's and beta's gradients are sums of so many terms
    for name, value in exact.items():
        scale = sums**0.5 if name in ("dgamma", "dbeta") else 1.0
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=3e-6 * scale + 3e-5 * (name == "dx"))


@pytest.mark.parametrize(("residual", "relu"), KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_bf16_is_no_further_from_float64_than_pytorch(shape, residual, relu):
    x, bn, other, dy = inputs(shape, residual, torch.bfloat16)
    assert available(x, bn, other)
    bn64, x64, other64, dy64 = in_double(bn, x, other, dy)
    exact = everything(separately, x64, bn64, other64, relu, dy64)
    ours = everything(fused_batch_norm, x, bn, other, relu, dy)
    theirs = everything(separately, x, bn, other, relu, dy)
    for name, value in exact.items():
        error, accepted = (ours[name] - value).abs().sum(), (theirs[name] - value).abs().sum()
        assert error <= 1.05 * accepted + 1e-5 * (1 + value.abs().sum()), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_digits_cancel_where_the_mean_is_large(dtype):
    x, bn, _, dy = inputs((8, 16, 16, 16), False)
    x = (x + 1000 * torch.arange(16.0).view(16, 1, 1)).to(dtype)
    x[0, :, 0, 0] = -5000  # the first pixel is no guide to the mean
    dy = dy.to(dtype)
    bn64, x64, dy64 = in_double(bn, x, dy)
    exact = everything(separately, x64, bn64, None, True, dy64)
    ours = everything(fused_batch_norm, x, bn, None, True, dy)
    tolerance = {torch.float32: 2e-4, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(ours["y"], exact["y"], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(ours["running_var"], exact["running_var"], rtol=3e-5, atol=0)


def test_gradient_is_the_slope():
    x, bn, other, dy = inputs((3, 5, 4, 4), True)
    x.requires_grad_()
    fused_batch_norm(x, bn, other).backward(dy)
    bn64, x64, other64, dy64 = in_double(bn, x.detach(), other, dy)
    step = 1e-6
    for index in [(0, 0, 0, 0), (1, 3, 2, 1), (2, 4, 3, 3)]:
        values = []
        for sign in (1, -1):
            moved = x64.clone()
            moved[index] += sign * step
            values.append((separately(moved, bn64, other64, True) * dy64).sum())
        slope = (values[0] - values[1]) / (2 * step)
        assert x.grad[index].item() == pytest.approx(slope.item(), rel=1e-3, abs=1e-5)


def test_second_derivatives():
    x, bn, other, dy = inputs((3, 5, 4, 4), True)
    found = []
    for function in (fused_batch_norm, separately):
        inner, own = x.clone().requires_grad_(), copy.deepcopy(bn)
        (slope,) = torch.autograd.grad(function(inner, own, other, True), inner, dy, create_graph=True)
        slope.square().sum().backward()
        found.append((inner.grad, own.weight.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_same_bits_every_time_and_for_any_number_of_threads(dtype):
    x, bn, other, dy = inputs((9, 24, 33, 31), True, dtype)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (2, 2, 1, 3):
            torch.set_num_threads(threads)
            results.append(everything(fused_batch_norm, x, bn, other, True, dy))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0][name], other[name]) for other in results[1:] for name in other)


def test_nan_and_infinity_go_through_as_in_pytorch():
    for dtype in (torch.float32, torch.bfloat16):
        x, bn, _, dy = inputs((4, 32, 5, 5), False, dtype)
        x[1, 3, 2, 2], x[2, 7, 0, 0] = float("nan"), float("inf")
        ours = everything(fused_batch_norm, x, bn, None, True, dy)
        theirs = everything(separately, x, bn, None, True, dy)
        for name in ("y", "dgamma", "running_mean", "running_var"):
            assert torch.equal(ours[name].isfinite(), theirs[name].isfinite()), name


def test_gradients_in_another_layout():
    x, bn, other, dy = inputs((4, 16, 6, 6), True)
    expected = everything(fused_batch_norm, x, bn, other, True, dy)
    for strange in (dy.contiguous(), dy.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)):
        found = everything(fused_batch_norm, x, bn, other.contiguous(), True, strange)
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_an_unaligned_part_of_a_tensor():
    base, bn = channels_last(5, 16, 6, 6).flatten(), norm(16)
    x = base[1 : 1 + 4 * 16 * 36].view(4, 6, 6, 16).permute(0, 3, 1, 2)
    assert available(x, bn)
    torch.testing.assert_close(fused_batch_norm(x, copy.deepcopy(bn)), separately(x, bn, None, True))


def test_frozen_parameters_get_no_gradient():
    x, bn, _, dy = inputs((4, 16, 6, 6), False)
    bn.requires_grad_(False)
    found = x.clone().requires_grad_()
    fused_batch_norm(found, bn).backward(dy)
    assert found.grad is not None
    assert bn.weight.grad is None


class TestFallback:
    @pytest.mark.parametrize(
        "change",
        [
            lambda x, bn: (x.contiguous(), bn),
            lambda x, bn: (x[:, :, ::2], bn),
            lambda x, bn: (x.double(), bn.double()),
            lambda x, bn: (x, bn.eval()),
            lambda x, bn: (x, nn.BatchNorm2d(16, affine=False)),
            lambda x, bn: (x, nn.BatchNorm2d(16, momentum=None)),
            lambda x, bn: (x, nn.BatchNorm2d(16, track_running_stats=False)),
        ],
    )
    def test_what_the_kernel_does_not_take(self, change):
        x, bn = change(channels_last(4, 16, 6, 6), norm(16))
        assert not available(x, bn)
        other = copy.deepcopy(bn)
        assert torch.equal(fused_batch_norm(x, bn), separately(x, other, None, True))
        assert all(torch.equal(a, b) for a, b in zip(bn.buffers(), other.buffers(), strict=True))

    def test_one_value_a_channel_is_pytorch_s_error(self):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
            fused_batch_norm(channels_last(1, 16, 1, 1), norm(16))

    def test_transforms_and_modes(self):
        x, bn = channels_last(4, 16, 6, 6), norm(16)
        seen = []

        def look(t: torch.Tensor) -> torch.Tensor:
            seen.append(available(t, bn))
            return t

        torch.func.grad(lambda t: look(t).sum())(x)
        with FlopCounterMode(display=False), torch.no_grad():
            look(x)
        with torch.autograd.forward_ad.dual_level():
            look(x)
        with torch.device("meta"):
            look(torch.empty(4, 16, 6, 6).to(memory_format=torch.channels_last))
        assert seen == [False] * 4
        assert available(x, bn)

    @pytest.mark.parametrize("reason", ["compiler", "broken", "folder", "switch"])
    def test_without_a_library(self, reason, monkeypatch, tmp_path):
        if reason == "switch":
            monkeypatch.setenv("SKIPLINE_KERNELS", "0")
        elif reason == "folder":
            tmp_path.joinpath("file").touch()
            monkeypatch.setenv("SKIPLINE_HOME", str(tmp_path / "file"))
        else:
            monkeypatch.setattr(
                compiling, "COMPILERS", ("no-such-compiler",) if reason == "compiler" else ("false",)
            )
        batchnorm_library.cache_clear()
        x, bn = channels_last(4, 16, 6, 6), norm(16)
        assert not available(x, bn)
        assert torch.equal(fused_batch_norm(x, copy.deepcopy(bn)), separately(x, bn, None, True))


class TestLibrary:
    def test_two_processes_compile_at_once(self, tmp_path):
        code = "from skipline.kernels import batchnorm_library; assert batchnorm_library() is not None"
        environment = {**os.environ, "SKIPLINE_HOME": str(tmp_path)}
        running = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
        assert [process.wait() for process in running] == [0, 0]
        assert [file.suffix for file in (tmp_path / "kernels").iterdir()] == [".so"]

    def test_openmp_runtime_is_torch_s_own(self):
        fused_batch_norm(channels_last(8, 16, 64, 64), norm(16))
        loaded = {
            line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libgomp" in line
        }
        torch_s = {file for file in loaded if Path(file).resolve() == compiling.openmp_runtime().resolve()}
        elsewhere = {file for file in loaded - torch_s if Path(file).name.startswith("libgomp.so")}
        assert (len(torch_s), elsewhere) == (1, set())  # scikit-learn's has a name of its own


class TestNetworks:
    @pytest.mark.parametrize("name", ["resnet20", "resnet56", "preact-resnet20", "resnet18-small"])
    def test_a_training_step_is_the_same(self, name, monkeypatch):
        images = torch.randn(4, 3, 32, 32).to(memory_format=torch.channels_last)
        used = []
        monkeypatch.setattr(
            "skipline.models.norm_act.fused_batch_norm",
            lambda *a: used.append(a) or kernels.fused_batch_norm(*a),
        )
        states, gradients, calls = [], [], []
        for switch, dtype in (("1", torch.float32), ("0", torch.float32), ("0", torch.float64)):
            monkeypatch.setenv("SKIPLINE_KERNELS", switch)
            batchnorm_library.cache_clear()
            used.clear()
            network = create(name, seed=0).train().to(dtype, memory_format=torch.channels_last)
            F.cross_entropy(network(images.to(dtype)), torch.arange(4)).backward()
            calls.append(len(used))
            gradients.append(torch.cat([value.grad.double().flatten() for value in network.parameters()]))
            states.append(network.state_dict())
        assert calls[0] >= 16
        assert calls[1:] == [0, 0]
        assert list(states[0]) == list(states[1])
        for key, value in states[2].items():
            torch.testing.assert_close(states[0][key].to(value.dtype), value, rtol=1e-4, atol=1e-5)
        # A ReLU whose input is 0 but for rounding may open or close: PyTorch's own fp32 is off by up to 0.75 %.
        assert (gradients[0] - gradients[2]).norm() < 0.02 * gradients[2].norm()

    def test_a_hook_still_sees_every_module(self):
        network = create("resnet20", seed=0).train().to(memory_format=torch.channels_last)
        seen: list[str] = []
        for name, module in network.named_modules():
            module.register_forward_hook(lambda *_, name=name: seen.append(name))
        network(torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last))
        assert set(seen) == {name for name, _ in network.named_modules()}

    @pytest.mark.parametrize("part", ["bn2", "relu2", "add", "drop"])
    def test_a_hook_on_one_part_sees_its_output(self, part):
        block = create("resnet20", seed=0).layer1[0].train()
        x, seen = channels_last(4, 16, 8, 8), []
        plain = block(x)
        block.get_submodule(part).register_forward_hook(lambda _m, _i, y: seen.append(y.clone()))
        torch.testing.assert_close(block(x), plain)
        assert len(seen) == 1
