"""What is said of an image: class, probability, map and the answer without each block."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skipline.bundle import Bundle
from skipline.errors import InputError, ShapeMismatchError, UnknownNameError
from skipline.explanation import Explainer, randomised
from skipline.explanation.explainer import NOT_FINITE
from skipline.explanation.explanation import most_needed
from skipline.models import create


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


def explainer(bundle: Bundle, **options: object) -> Explainer:
    return Explainer(bundle.network, bundle.classes, bundle.preprocessing, **options)  # type: ignore[arg-type]


def test_figures_are_those_of_predict(bundle: Bundle) -> None:
    predictions = bundle.predict(list(images()))
    for prediction, found in zip(predictions, explainer(bundle).explain(images()), strict=True):
        answer = found.answer
        assert (answer.class_name, answer.predicted) == (prediction.class_name, prediction.class_name)
        assert answer.probability == pytest.approx(prediction.probability, abs=1e-6)
        assert answer.predicted_probability == answer.probability
        assert found.map.shape == (16, 16)
        assert found.map.max() == 1
        assert found.map.min() >= 0


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "occlusion"])
def test_another_class_has_another_map(bundle: Bundle, method: str) -> None:
    maps = {}
    for name in bundle.classes:
        (found,) = explainer(bundle, method=method, class_name=name, blocks=False, networks=0).explain(
            images(1)
        )
        assert found.answer.class_name == name
        assert found.answer.predicted == bundle.predict(images(1))[0].class_name
        assert found.answer.sanity is None
        assert found.answer.blocks == ()
        maps[name] = found.map
    assert not any(np.allclose(maps[a], maps[b]) for a, b in (("cat", "dog"), ("dog", "owl"), ("cat", "owl")))


def test_blocks_are_removed_one_by_one(bundle: Bundle) -> None:
    (found,) = explainer(bundle).explain(images(1))
    blocks = found.answer.blocks
    assert [b.block for b in blocks] == [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3)]
    last = bundle.network.layer3[2].bn2
    last.weight.data.zero_()
    last.bias.data.zero_()
    (cut,) = bundle.predict(images(1), top=3)
    shares = dict(cut.top)
    assert blocks[-1].top1 == cut.class_name
    assert blocks[-1].probability == pytest.approx(shares[found.answer.class_name], abs=1e-6)
    (needed,) = most_needed(found.answer, 1)
    assert needed.probability == min(block.probability for block in blocks) < found.answer.probability


def test_a_layer_near_the_image_gives_a_finer_map(bundle: Bundle) -> None:
    (coarse,), (fine,) = (
        explainer(bundle, layer=layer, networks=0, blocks=False).explain(images(1))
        for layer in (None, "layer1")
    )
    assert explainer(bundle).layer.size == "4 x 4"
    assert explainer(bundle, layer="layer1").layer.size == "16 x 16"
    assert np.abs(np.diff(fine.map)).mean() > 2 * np.abs(np.diff(coarse.map)).mean()


def test_images_are_cut_as_the_network_sees_them(bundle: Bundle) -> None:
    from dataclasses import replace

    preprocessing = replace(bundle.preprocessing, stored=20)
    wide = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    found = Explainer(bundle.network, bundle.classes, preprocessing, blocks=False, networks=0).explain(wide)
    assert all(np.array_equal(one.pixels, image[2:18, 2:18]) for one, image in zip(found, wide, strict=True))


def test_large_randomised_networks_are_made_anew_and_are_the_same(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(network: nn.Module, input: tuple[int, ...], seed: int) -> nn.Module:
        made.append(seed)
        return randomised(network, input, seed)

    monkeypatch.setattr("skipline.explanation.explainer.randomised", counted)
    kept = explainer(bundle, blocks=False, seed=7)
    first = [kept.explain(images(2)), kept.explain(images(2))]
    assert made == [7, 8, 9, 10, 11]
    monkeypatch.setattr("skipline.explanation.explainer.KEPT_PARAMETERS", 1000)
    anew = explainer(bundle, blocks=False, seed=7)
    second = [anew.explain(images(2)), anew.explain(images(2))]
    assert made == [7, 8, 9, 10, 11] * 3
    sanities = [[found.answer.sanity for batch in run for found in batch] for run in (first, second)]
    assert sanities[0] == sanities[1]


def test_an_empty_map_is_not_compared(bundle: Bundle) -> None:
    bundle.network.fc.weight.data.zero_()
    (found,) = explainer(bundle).explain(images(1))
    assert found.answer.peak == 0
    assert found.answer.sanity is None
    assert not found.map.any()


def test_rounding_is_no_map(bundle: Bundle) -> None:
    bundle.network.fc.weight.data.mul_(1e-9)
    (found,) = explainer(bundle, method="occlusion", blocks=False).explain(images(1))
    assert found.answer.peak == 0


def test_damaged_weights_are_said_of_the_images_they_concern(bundle: Bundle) -> None:
    class Picky(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            black = (x < -1.9).all(3).all(2).all(1)
            return self.inner(x) / torch.where(black, 0.0, 1.0)[:, None]

    given = images(3)
    given[1] = 0
    picky = Explainer(Picky(bundle.network), bundle.classes, bundle.preprocessing, layer="inner.layer3")
    first, second, third = picky.explain(given)
    assert second == NOT_FINITE
    alone = explainer(bundle).explain(given[[0, 2]])
    assert first.answer.to_json()["blocks"][0]["probability"] == pytest.approx(
        alone[0].answer.blocks[0].probability
    )
    assert np.allclose(third.map, alone[1].map, atol=1e-5)


def test_wrong_choices(bundle: Bundle) -> None:
    with pytest.raises(UnknownNameError, match=r"no method is called 'grad-cam'\. Did you mean gradcam"):
        explainer(bundle, method="grad-cam")
    with pytest.raises(UnknownNameError, match=r"no class is called 'cow'\. Did you mean owl"):
        explainer(bundle, class_name="cow")
    with pytest.raises(InputError) as error:
        explainer(bundle, method="occlusion", layer="layer1")
    assert str(error.value) == "Occlusion looks at the answers alone and takes no layer: leave out layer1"
    with pytest.raises(ShapeMismatchError, match="the network has 3 outputs, but there are 2 classes"):
        Explainer(bundle.network, ("cat", "dog"), bundle.preprocessing).explain(images(1))


@pytest.mark.parametrize("name", ["plain20", "lecture-vgg-bn", "wrn-16-4", "quick-resnet8", "googlenet"])
def test_every_kind_of_network_is_explained(bundle: Bundle, name: str) -> None:
    network = create(name, classes=3, seed=0).eval()
    found = Explainer(network, bundle.classes, bundle.preprocessing)
    if name == "googlenet":  # 16 pixels leave one in its last stages
        assert found.layer.name == "inception3b"
    (one,) = found.explain(images(1))
    assert len(one.answer.blocks) == {"wrn-16-4": 6, "quick-resnet8": 3}.get(name, 0)
