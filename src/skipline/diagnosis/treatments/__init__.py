"""The remedies that `--verify` can apply by itself: each changes one thing of a network or of its recipe.

To add one, add a row. A treatment never changes the network it is given: it returns a copy.
"""

from __future__ import annotations

import torch
from torch import nn

from skipline.diagnosis.treatments import batchnorm, initialisation, inputs, outputs, rates, shortcuts
from skipline.diagnosis.treatments.flow import copied
from skipline.diagnosis.treatments.treatment import Treatment
from skipline.errors import InputError, UnknownNameError
from skipline.training import Recipe

__all__ = ["TREATMENTS", "Treatment", "apply", "apply_to_recipe", "treatment"]

ROWS = (
    Treatment("shortcuts", "shortcuts around pairs of layers", network=shortcuts.add_shortcuts),
    Treatment("normalisation", "batch normalisation after each layer", network=batchnorm.add_normalisation),
    Treatment("he-initialisation", "He initialisation", network=initialisation.he_initialised),
    Treatment("lower-rate", "a tenth of the learning rate", settings=rates.lower_rate),
    Treatment("higher-rate", "ten times the learning rate", settings=rates.higher_rate),
    Treatment("normalise-input", "input of mean 0 and deviation 1", network=inputs.normalise_input),
    Treatment("no-softmax", "logits instead of probabilities", network=outputs.remove_softmax),
    Treatment("unfreeze", "every layer learns", network=initialisation.unfrozen),
    Treatment("relu-bias", "biases that kill ReLUs put back to 0", network=initialisation.biases_reset),
    Treatment("clip-gradients", "gradients clipped at norm 1", settings=rates.clip_gradients),
    Treatment("batchnorm-training", "BN in training mode with momentum 0.1", network=batchnorm.in_training),
)
TREATMENTS: dict[str, Treatment] = {row.name: row for row in ROWS}


def treatment(name: str) -> Treatment:
    """The treatment of a name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    if name not in TREATMENTS:
        raise UnknownNameError("treatment", name, TREATMENTS)
    return TREATMENTS[name]


def apply(name: str, network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Treat a network.

    Args:
        name: of the treatment.
        network: any module from images to logits; left as it is, its training mode and statistics included.
        images: (N, C, H, W), N >= 2, as the network sees them in training: the treatment looks at what they do in it.

    Returns:
        A treated copy in training mode, with the same weights wherever the treatment is not about them. Of a
        treatment that changes the recipe, an untreated copy. What is drawn comes from torch's generator.

    Raises:
        UnknownNameError: no such treatment.
        InputError: it does not apply to this network, or that cannot be copied; the message says why.
    """
    change = treatment(name).network
    patient = copied(network)
    if change is None:
        return patient
    treated = change(patient, images).train()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            copied(treated)(images)
        except (RuntimeError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{name} cannot be applied: the treated network fails with: {error}") from error
    return treated


def apply_to_recipe(name: str, recipe: Recipe) -> Recipe:
    """Treat a recipe; of a treatment that changes the network, the recipe as it is.

    Raises:
        UnknownNameError: no such treatment.
        InputError: it does not apply to this recipe; the message says why.
    """
    change = treatment(name).settings
    return recipe if change is None else change(recipe)
