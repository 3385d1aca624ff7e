"""What training relies on: memory format, autocast, copies, compilation, the heads of googlenet."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from skipline.models import Block, Outputs, create

FAMILIES = ["resnet20", "plain20", "preact-resnet20", "lecture-resnet"]


@pytest.mark.parametrize("name", FAMILIES)
def test_channels_last_and_autocast_go_all_the_way_through(name: str) -> None:
    network = create(name).to(memory_format=torch.channels_last)
    outputs: list[torch.Tensor] = []
    for module in network.modules():
        if isinstance(module, Block):
            module.register_forward_hook(lambda m, i, y: outputs.append(y))
    images = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images)
    assert logits.dtype == torch.bfloat16
    assert outputs
    for y in outputs:
        assert y.dtype == torch.bfloat16
        assert y.is_contiguous(memory_format=torch.channels_last)
    logits.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_one_graph_for_the_compiler() -> None:
    network = create("resnet20").eval()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), network(images))
    torch.compiler.reset()


@pytest.mark.parametrize("copying", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_copies_keep_name_options_and_function(copying: object) -> None:
    network = create("resnet20", classes=4).eval()
    other = copying(network)  # type: ignore[operator]
    assert (other.name, other.options) == (network.name, network.options)
    images = torch.randn(1, 3, 16, 16)
    assert torch.equal(other(images), network(images))


def test_googlenet_has_three_sets_of_logits_in_training_and_one_in_evaluation() -> None:
    network = create("googlenet", classes=5)
    images = torch.randn(2, 3, 64, 64)
    outputs = network(images)
    assert isinstance(outputs, Outputs)
    assert [tuple(t.shape) for t in (outputs.logits, *outputs.auxiliary)] == [(2, 5)] * 3
    sum(t.square().sum() for t in (outputs.logits, *outputs.auxiliary)).backward()
    assert all(p.grad is not None for p in network.parameters())
    assert network.eval()(images).shape == (2, 5)


def test_a_lower_auxiliary_head_reaches_only_the_layers_below_it() -> None:
    network = create("googlenet", classes=5)
    network(torch.randn(2, 3, 64, 64)).auxiliary[0].sum().backward()
    assert network.inception4a.branch1.conv.weight.grad is not None
    assert network.inception4b.branch1.conv.weight.grad is None
