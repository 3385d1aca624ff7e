from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipline import models
from skipline.diagnosis.treatments import TREATMENTS, apply, apply_to_recipe
from skipline.diagnosis.treatments.flow import read_flow
from skipline.diagnosis.treatments.shortcuts import option_a, pairs
from skipline.diagnosis.zoo import case
from skipline.errors import InputError, UnknownNameError
from skipline.training import named_recipe


class Chain(nn.Module):
    """Stem, two pairs and a head as users write them: functional, in place, with a branch of Python code."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.a1 = nn.Conv2d(4, 4, 3, padding=1)
        self.a2 = nn.Conv2d(4, 4, 3, padding=1)
        self.n2 = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.b1 = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.b2 = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] != 1:
            raise ValueError("grey images only")
        x = F.relu(self.stem(x), inplace=True)
        x = F.relu_(self.a1(x))
        x = F.relu(self.n2(self.a2(x)), inplace=True)
        x = F.relu(self.b1(x), inplace=True)
        x = F.relu(self.b2(x), inplace=True)
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


def residual_by_hand(net: Chain, images: torch.Tensor) -> torch.Tensor:
    x = F.relu(net.stem(images))
    x = F.relu(net.n2(net.a2(F.relu(net.a1(x)))) + x)
    shortcut = torch.zeros(x.shape[0], 8, 4, 4)
    shortcut[:, 2:6] = x[:, :, ::2, ::2]
    x = F.relu(net.b2(F.relu(net.b1(x))) + shortcut)
    logits: torch.Tensor = net.head(x.mean((2, 3)))
    return logits


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("norm", [False, True])
def test_a_chain_with_shortcuts_is_the_residual_network_written_by_hand(
    images: torch.Tensor, norm: bool
) -> None:
    chain = Chain(norm)
    before = copy.deepcopy(chain.state_dict())
    treated = apply("shortcuts", chain, images)
    torch.testing.assert_close(treated(images), residual_by_hand(copy.deepcopy(chain), images))
    assert all(torch.equal(value, before[key]) for key, value in chain.state_dict().items())
    assert treated.state_dict().keys() == before.keys()


def test_a_copy_of_a_treated_network_carries_its_shortcuts_along(images: torch.Tensor) -> None:
    treated = apply("shortcuts", Chain(), images)
    twin = copy.deepcopy(treated)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(0.5)
    expected = treated(images)
    assert not torch.allclose(twin(images), expected)
    torch.testing.assert_close(treated(images), expected)


def test_a_treated_network_trains_and_gradients_reach_its_first_layer(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    treated = apply("shortcuts", Chain(), images)
    optimizer = torch.optim.Adam(treated.parameters(), lr=0.02)
    targets = torch.arange(6) % 3
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(treated(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(parameter.grad is not None for parameter in treated.parameters())


def test_a_plain_network_of_the_catalogue_becomes_its_residual_twin(images: torch.Tensor) -> None:
    plain = models.create("plain20", channels=1, classes=10, seed=0)
    treated = apply("shortcuts", plain, images)
    assert isinstance(treated, models.Network)
    assert treated.name == "resnet20"
    resnet = models.create("resnet20", channels=1, classes=10, seed=0)
    torch.testing.assert_close(treated(images), resnet(images))


def test_bypasses_around_a_plain_network_compute_what_its_residual_twin_does(images: torch.Tensor) -> None:
    wrapped = nn.Sequential(
        models.create("plain20", channels=1, classes=10, seed=0)
    )  # no longer of the catalogue
    treated = apply("shortcuts", wrapped, images)
    resnet = models.create("resnet20", channels=1, classes=10, seed=0)
    torch.testing.assert_close(treated(images), resnet(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "network",
    [
        lambda: models.create("resnet20", channels=1, classes=10, seed=0),
        lambda: case("handwritten-residual").build(10, 1, 0),
    ],
    ids=["catalogue", "hand-written"],
)
def test_shortcuts_are_refused_where_there_are_some(network, images: torch.Tensor) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=r"has shortcuts A|already adds paths, in 8 places"):
        apply("shortcuts", network(), images)


def test_shortcuts_are_refused_where_no_two_layers_follow_each_other(images: torch.Tensor) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    with pytest.raises(InputError, match="no two layers follow each other"):
        apply("shortcuts", network, images)


def test_branches_of_an_activation_written_by_hand_do_not_break_a_chain(images: torch.Tensor) -> None:
    class Swish(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.sigmoid(x)

    layers = [nn.Conv2d(1, 4, 3, padding=1), Swish()]
    layers += [layer for _ in range(2) for layer in (nn.Conv2d(4, 4, 3, padding=1), Swish())]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 3))
    assert [(first.name, end.name) for first, end in pairs(read_flow(network, images))] == [("2", "4")]


def test_a_signal_that_is_used_elsewhere_is_not_bypassed(images: torch.Tensor) -> None:
    class TwoOutputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(4 if i else 1, 4, 3, padding=1) for i in range(4))
            self.head = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = self.convs[0](x)
            middle = self.convs[1](first)
            last = self.convs[3](self.convs[2](middle))
            logits: torch.Tensor = self.head(torch.cat([middle, last], 3).mean((2, 3)))
            return logits

    # `middle` leaves the pair (1, 2), and the pair (2, 3) begins with it.
    assert pairs(read_flow(TwoOutputs(), images)) == []


@pytest.mark.parametrize(
    ("x", "like"),
    [
        ((2, 4, 8, 8), (2, 8, 4, 4)),
        ((2, 8, 7, 7), (2, 4, 3, 3)),
        ((2, 4, 8, 8), (2, 4, 6, 6)),
        ((2, 5), (2, 9)),
    ],
)
def test_option_a_takes_any_shape_that_shrinks(x: tuple[int, ...], like: tuple[int, ...]) -> None:
    assert option_a(torch.randn(x), torch.zeros(like)).shape == like


def test_option_a_is_that_of_the_catalogue() -> None:
    x = torch.randn(2, 16, 8, 8)
    expected = models.shortcuts.ZeroPad(16, 32, 2)(x)
    assert torch.equal(option_a(x, torch.zeros(2, 32, 4, 4)), expected)


def test_normalisation_goes_behind_each_layer_that_has_none_but_the_last(images: torch.Tensor) -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
        nn.ReLU(),
        nn.Linear(5, 5),
        nn.ReLU(),
        nn.Linear(5, 3),
    )
    treated = apply("normalisation", network, images)
    put_in = [
        name
        for name, module in treated.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    assert put_in == ["0.1", "3", "9.1"]  # the layer at 7 reads what the one at 3 has normalised
    out = treated(images)
    assert out.shape == (6, 3)
    hidden = treated[:1](images)
    assert hidden.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert hidden.std().item() == pytest.approx(1.0, abs=1e-2)


def test_normalisation_is_refused_where_every_layer_has_it(images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="all 20 weighted layers but the last stand next to one already"):
        apply("normalisation", models.create("resnet20", channels=1, seed=0), images)


def test_he_initialisation_brings_small_weights_to_its_deviation(images: torch.Tensor) -> None:
    treated = apply("he-initialisation", case("small-weights").build(10, 1, 0), images)
    convolution = treated.get_submodule("features.2")
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.weight.std().item() == pytest.approx((2 / 144) ** 0.5, rel=0.1)
    with pytest.raises(InputError, match="times He's deviation already"):
        apply("he-initialisation", treated, images)


def test_a_softmax_at_the_end_is_left_out(images: torch.Tensor) -> None:
    network = case("softmaxed-outputs").build(10, 1, 0)
    logits = apply("no-softmax", network, images)(images)
    torch.testing.assert_close(logits.softmax(1), network(images))
    assert logits.min() < 0


def test_a_softmax_in_the_forward_pass_is_undone(images: torch.Tensor) -> None:
    class Probable(Chain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.softmax(super().forward(x), dim=1)

    network = Probable()
    treated = apply("no-softmax", network, images)
    targets = torch.arange(6) % 3
    expected = F.cross_entropy(Chain.forward(network, images), targets)
    torch.testing.assert_close(F.cross_entropy(treated(images), targets), expected)
    with pytest.raises(InputError, match="the outputs are logits"):
        apply("no-softmax", Chain(), images)


def test_unfreeze_lets_every_layer_learn(images: torch.Tensor) -> None:
    frozen = case("frozen-stage").build(10, 1, 0)
    treated = apply("unfreeze", frozen, images)
    assert all(parameter.requires_grad for parameter in treated.parameters())
    assert not all(parameter.requires_grad for parameter in frozen.parameters())
    with pytest.raises(InputError, match="no parameter is frozen"):
        apply("unfreeze", treated, images)


def test_relu_bias_revives_dead_layers_and_touches_no_others(images: torch.Tensor) -> None:
    dead = case("dead-relus").build(10, 1, 0)
    treated = apply("relu-bias", dead, images)
    biases = {name: value for name, value in treated.named_parameters() if name.endswith("bias")}
    assert all(value.min() >= -0.5 for value in biases.values())
    assert torch.equal(biases["head.bias"], dict(dead.named_parameters())["head.bias"])
    treated(images).sum().backward()
    assert treated.get_submodule("features.0").weight.grad.abs().sum() > 0
    with pytest.raises(InputError, match="no layer's units"):
        apply("relu-bias", treated, images)


@pytest.mark.parametrize("name", ["bn-stuck-in-eval", "bn-momentum-0"])
def test_bn_gathers_statistics_again(name: str, images: torch.Tensor) -> None:
    treated = apply("batchnorm-training", case(name).build(10, 1, 0), images)
    norms = [module for module in treated.modules() if isinstance(module, nn.BatchNorm2d)]
    treated(images)
    assert all(norm.training and norm.momentum == 0.1 for norm in norms)
    assert all(norm.running_mean is not None and norm.running_mean.abs().sum() > 0 for norm in norms)
    with pytest.raises(InputError, match="are in training mode"):
        apply("batchnorm-training", treated, images)


def test_bn_stays_in_training_where_the_network_switches_it_off(images: torch.Tensor) -> None:
    class Stubborn(nn.Sequential):
        def train(self, mode: bool = True) -> Stubborn:
            super().train(mode)
            self[1].eval()
            return self

    network = Stubborn(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    treated = apply("batchnorm-training", network, images)
    hidden = treated.train()[1](treated[0](images))
    assert hidden.mean().item() == pytest.approx(0.0, abs=1e-5)


def test_input_is_normalised_in_front_of_the_first_layer_with_weights(images: torch.Tensor) -> None:
    network = case("unscaled-input").build(10, 1, 0)
    treated = apply("normalise-input", network, images)
    seen: list[torch.Tensor] = []
    first = treated.get_submodule("1.features.0")
    first.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    treated(images)
    assert seen[0].mean().item() == pytest.approx(0.0, abs=1e-4)
    assert seen[0].std().item() == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(InputError, match=r"means within 0\.5"):
        apply("normalise-input", treated, images)


def test_treatments_of_the_recipe_change_one_key_and_leave_the_network() -> None:
    recipe = named_recipe("tiny")
    assert apply_to_recipe("lower-rate", recipe).optimizer.lr == pytest.approx(0.005)
    assert apply_to_recipe("higher-rate", recipe).optimizer.lr == pytest.approx(0.5)
    clipped = apply_to_recipe("clip-gradients", recipe)
    assert clipped.optimizer.clip_norm == 1
    assert apply_to_recipe("shortcuts", recipe) is recipe
    with pytest.raises(InputError, match="clips them at norm 1 already"):
        apply_to_recipe("clip-gradients", clipped)


def test_an_unknown_treatment_is_answered_with_the_nearest(images: torch.Tensor) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean shortcuts"):
        apply("shortcut", Chain(), images)
    assert all(row.name == name and row.summary for name, row in TREATMENTS.items())


def test_treating_leaves_generator_and_statistics_as_they_were(images: torch.Tensor) -> None:
    network = Chain(norm=True)
    before, random = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    apply("shortcuts", network, images)
    assert torch.equal(torch.get_rng_state(), random)
    treated = apply("normalisation", network, images)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert treated.get_submodule("n2").num_batches_tracked == 0


def test_a_network_that_cannot_be_copied_is_refused_in_words(images: torch.Tensor) -> None:
    network = Chain()
    network.cached = network.head.weight * 2  # type: ignore[assignment]
    with pytest.raises(InputError, match="keep parameters in it, not tensors computed from them"):
        apply("shortcuts", network, images)


def test_layers_that_are_skipped_at_random_keep_their_pairs_working(images: torch.Tensor) -> None:
    class Skipping(Chain):
        skip = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.relu(self.stem(x))
            if not self.skip:
                x = F.relu(self.a1(x))
            x = F.relu(self.b2(F.relu(self.b1(F.relu(self.a2(x))))))
            logits: torch.Tensor = self.head(x.mean((2, 3)))
            return logits

    network = Skipping()
    treated = apply("shortcuts", network, images)
    assert not torch.allclose(treated(images), network(images))
    treated.skip = network.skip = True  # type: ignore[assignment]
    assert treated(images).shape == (6, 3)
