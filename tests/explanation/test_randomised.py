"""The check against randomised networks: it flags maps that do not depend on weights, and lets others pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skipline.bundle import Bundle
from skipline.data import Preprocessing
from skipline.explanation import Explainer, Sanity, randomised
from skipline.explanation.randomised import compare
from skipline.models import create


def test_every_weight_is_drawn_anew_and_the_network_kept() -> None:
    network = create("resnet20", classes=4, seed=5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    fresh = randomised(network, (3, 32, 32), seed=0)
    assert torch.get_rng_state().equal(state)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    weights = {name: value for name, value in fresh.named_parameters() if value.dim() > 1}
    assert len(weights) == 20
    for name, value in weights.items():
        assert not value.equal(before[name])
        assert abs(np.corrcoef(value.detach().flatten(), before[name].flatten())[0, 1]) < 0.25, name
    same, other = (randomised(network, (3, 32, 32), seed) for seed in (0, 1))
    assert same.fc.weight.equal(fresh.fc.weight)
    assert not other.fc.weight.equal(fresh.fc.weight)


def test_parameters_that_no_layer_initialises_are_shuffled() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.arange(40.0).view(1, 40, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.scale * x).mean((2, 3))

    network = Own()
    fresh = randomised(network, (40, 4, 4), seed=0)
    assert fresh.scale.shape == (1, 40, 1, 1)
    assert not fresh.scale.equal(network.scale)
    assert fresh.scale.flatten().sort().values.equal(network.scale.flatten())


@pytest.mark.parametrize("name", ["resnet110", "preact-resnet56", "plain56", "lecture-resnet", "googlenet"])
def test_deep_networks_neither_explode_nor_fade(name: str) -> None:
    fresh = randomised(create(name, classes=4), (3, 32, 32), seed=0)
    assert not any(module.training for module in fresh.modules())
    with torch.no_grad():
        logits = fresh(torch.randn(4, 3, 32, 32))
    assert 1e-3 < logits.abs().max() < 1e3


def test_equal_maps_are_unchanged_and_unrelated_ones_changed() -> None:
    rng = np.random.default_rng(0)
    found, other = rng.random((16, 16)).astype(np.float32), rng.random((16, 16)).astype(np.float32)
    same = compare(found, [found, found, other])  # the median
    assert same == Sanity(pytest.approx(1), pytest.approx(1), 3, changed=False)
    different = compare(found, [other])
    assert abs(different.rank_correlation) < 0.2
    assert different.structural_similarity < 0.2
    assert different.changed
    assert compare(found, [np.zeros_like(found)]).rank_correlation == 0  # an empty map has no order


def patched(rows: slice, columns: slice) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 60, (1, 16, 16, 3), dtype=np.uint8)
    image[:, rows, columns] = 250
    return image


def test_an_edge_detector_is_found_out(bundle: Bundle, edge_method: str) -> None:
    explainer = Explainer(bundle.network, bundle.classes, bundle.preprocessing, method=edge_method)
    (found,) = explainer.explain(patched(slice(3, 8), slice(4, 12)))
    assert found.answer.sanity == Sanity(pytest.approx(1), pytest.approx(1), 1, changed=False)


def test_a_map_that_follows_the_weights_passes() -> None:
    """A network that was taught by hand to look at one place: fresh weights look elsewhere."""

    class Place(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3 * 256, 2)
            with torch.no_grad():
                self.fc.weight.zero_()
                self.fc.weight.view(2, 3, 16, 16)[0, :, 2:6, 9:14] = 0.1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.flatten(1))

    preprocessing = Preprocessing(3, 16, 16, (0.0,) * 3, (1.0,) * 3)
    explainer = Explainer(Place(), ("place", "rest"), preprocessing, method="occlusion", class_name="place")
    (found,) = explainer.explain(np.full((1, 16, 16, 3), 200, np.uint8))
    assert found.map[2:6, 9:14].mean() > 0.5
    assert found.answer.sanity is not None
    assert found.answer.sanity.changed
    assert found.answer.sanity.rank_correlation < 0.6
