"""What of an augmentation makes no sense for what a data set holds."""

from __future__ import annotations

from skipline.data.augmentation import Augmentation
from skipline.data.kinds import ARRAYS, SERIES, SOUNDS, Kind

SPECTROGRAMS = ("time_crop", "time_masks", "frequency_masks")


def objections(augmentation: Augmentation, kind: Kind) -> list[str]:
    """What cannot be done, one sentence a key.

    Args:
        augmentation: of a recipe.
        kind: what it is to be applied to.
    """
    found = []
    if kind is not SOUNDS:
        found += [
            f"augmentation.{key}: is for spectrograms of sounds, these are {kind.many}; leave it out"
            for key in SPECTROGRAMS
            if getattr(augmentation, key)
        ]
    if kind is SOUNDS and augmentation.flip != "none":
        found.append(
            f"augmentation.flip: '{augmentation.flip}' would play sounds backwards; leave it out "
            "(--set augmentation.flip=none)"
        )
    if kind in (SERIES, ARRAYS):
        if augmentation.random_resized_crop is not None:
            found.append(
                "augmentation.random_resized_crop: stretches photographs; shift values with pad_crop"
            )
        if augmentation.random_erasing:
            found.append("augmentation.random_erasing: is for photographs; hide values with cutout")
        if augmentation.auto != "none":
            found.append(
                f"augmentation.auto: '{augmentation.auto}' edits colours of photographs; leave it out"
            )
    if kind is SERIES and augmentation.cutmix:
        found.append("augmentation.cutmix: pastes a rectangle; blend series with mixup")
    return found
