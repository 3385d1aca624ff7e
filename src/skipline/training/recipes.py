"""The named recipes: one function each, whose docstring gives source, cost and expected result."""

from __future__ import annotations

from collections.abc import Callable

from skipline.data import Audio, Augmentation
from skipline.errors import UnknownNameError
from skipline.training.recipe import Finetune, Input, Optimizer, Recipe, Schedule


def paper() -> Recipe:
    """He et al. 2015, section 4.2, for CIFAR: SGD 0.1, divided by 10 at 32k and 48k of 64k iterations, batch 128.

    164 epochs of 50,000 images: hours on a CPU. Published test error of resnet20 on CIFAR-10: 8.75 %. For
    resnet110 add `--set schedule.warmup_until_error=0.8` (rate 0.01 until the training error is below 80 %).
    """
    return Recipe(
        name="paper",
        epochs=164,
        batch_size=128,
        optimizer=Optimizer(kind="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=Schedule(kind="step", milestones=(0.5, 0.75), gamma=0.1),
        augmentation=Augmentation(pad_crop=4, padding="zeros", flip="random"),
    )


def lecture() -> Recipe:
    """The lecture's: Adam, rate 1e-3, L2 weight decay 5e-4 in the gradient, batch 128, 10 epochs, seed 42.

    Published on CIFAR-10 with this recipe: lecture-vgg-bn 80.32 %, lecture-resnet 81.10 % test accuracy.
    """
    return Recipe(
        name="lecture",
        epochs=10,
        batch_size=128,
        optimizer=Optimizer(kind="adam", lr=1e-3, weight_decay=5e-4),
        schedule=Schedule(kind="constant"),
        input=Input(normalise="lecture"),
        augmentation=Augmentation(pad_crop=4, padding="zeros", flip="random"),
    )


def fast() -> Recipe:
    """Best accuracy in nine minutes on a CPU, for images of about 32 x 32 and a network such as quick-resnet8.

    As many epochs as fit, at most 24; `--epochs` sets another number. Two thirds of them see the images at 24 x 24,
    which costs 0.56 of a full one. What the records on CIFAR-10 added (Page 2019; airbench94, Jordan, 2404.00498) and
    what each part of it is worth for residual networks stands in docs/speed.md. `--epochs 3` reaches 80.7 % on the
    JPEG copy of CIFAR-10 (seed 0).
    """
    return Recipe(
        name="fast",
        epochs=24,
        minutes=9,
        batch_size=256,
        leftover="drop",  # as in the records
        optimizer=Optimizer(
            kind="sgd", lr=0.55, momentum=0.85, nesterov=True, weight_decay=9e-4, norm_bias_rate=64
        ),
        schedule=Schedule(kind="triangular", peak_at=0.23, start=0.2, final=0.07),
        input=Input(sides=((0.66, 24),)),
        augmentation=Augmentation(pad_crop=2, flip="alternating"),
        label_smoothing=0.2,
        whiten=True,
        lookahead=True,
        evaluate_every=6,
    )


def small() -> Recipe:
    """Any network on images of about 32 x 32, in nine minutes on a CPU: a short triangular run of SGD.

    As many epochs as fit, at most 24, two thirds of them at 24 x 24. Nothing in it is made for one kind of network,
    as `fast` is: without BN, or without shortcuts, its rate of 0.2 may be too high.
    """
    return Recipe(
        name="small",
        epochs=24,
        minutes=9,
        batch_size=128,
        leftover="drop",
        optimizer=Optimizer(kind="sgd", lr=0.2, nesterov=True, weight_decay=5e-4),
        schedule=Schedule(kind="triangular", peak_at=0.25, start=0.05),
        input=Input(sides=((0.66, 24),)),
        augmentation=Augmentation(pad_crop=4, flip="alternating"),
        evaluate_every=6,
    )


def record() -> Recipe:
    """The highest accuracy in ten minutes, or in as many as `--set minutes=60` says, for images of about 32 x 32.

    Recipe `fast` without its bound of epochs, and with the mean of six views of each test image beside the plain
    result. Measured with quick-resnet8 and ten minutes alone (docs/speed.md); quick-resnet8-wide and -wider are made
    for longer runs and faster machines, and have not been measured yet.
    """
    return fast().model_copy(update={"name": "record", "epochs": 200, "minutes": 10.0, "tta": "flip-shift"})


def tiny() -> Recipe:
    """For a thousand or so images of about 8 x 8, such as scikit-learn's digits: 24 epochs of one-cycle SGD.

    Half a minute for resnet56 on 2 cores. Shifts by one pixel and the moving average raised its mean test accuracy
    over three seeds from 97.6 % to 99.2 % (`benchmarks/digits_accuracy.py`, when an epoch still left images out; 98.9 %
    since). No flips, because a mirrored digit is another sign; fp32, because at this size bf16 gains little time.
    """
    return Recipe(
        name="tiny",
        epochs=24,
        batch_size=128,
        optimizer=Optimizer(kind="sgd", lr=0.05, nesterov=True, weight_decay=5e-4),
        schedule=Schedule(kind="one-cycle", peak_at=0.3),
        augmentation=Augmentation(pad_crop=1, padding="zeros"),
        ema=0.97,
        evaluate_every=6,
        precision="fp32",
    )


def arrays() -> Recipe:
    """Time series and arrays of values (docs/arrays.md): 40 epochs of one-cycle SGD, and 400 steps at least.

    Nothing is known about what such values allow, so nothing is varied by chance: where a shift in time leaves the
    class as it is, add `--set augmentation.pad_crop=8`, and for hidden stretches `--set augmentation.cutout=16`.
    """
    return Recipe(
        name="arrays",
        epochs=40,
        least_steps=400,
        batch_size=64,
        optimizer=Optimizer(kind="sgd", lr=0.05, nesterov=True, weight_decay=5e-4),
        schedule=Schedule(kind="one-cycle", peak_at=0.3),
        ema=0.98,
        evaluate_every=10,
    )


def photos() -> Recipe:
    """A folder of photos from scratch, where no trained weights are to be had.

    Progressive resizing (small inputs first) makes most epochs 3 to 6 times cheaper than the last ones. From
    scratch a few hundred photos teach far less than fine-tuning does: prefer `finetune` where weights exist.
    """
    return Recipe(
        name="photos",
        epochs=40,
        batch_size=32,
        optimizer=Optimizer(kind="sgd", lr=0.05, nesterov=True, weight_decay=5e-4, decay_norm_and_bias=False),
        schedule=Schedule(kind="one-cycle", peak_at=0.2),
        input=Input(sides=((0.6, 96), (0.9, 128))),
        augmentation=Augmentation(random_resized_crop=0.35, flip="random"),
        label_smoothing=0.1,
        zero_gamma=True,
        ema=0.99,
        evaluate_every=5,
    )


def finetune() -> Recipe:
    """Weights trained on ImageNet (or any others, `--weights`), a new head, and a lower rate for the body.

    First the head alone, for a sixth of the run, then everything, the body at a tenth of the head's rate. The images
    are prepared as the weights were trained. 20 images a class are enough to begin with: where 12 epochs make fewer
    than 200 steps there are more epochs. With batches of few images add `--set finetune.freeze_norm=true`.
    """
    return Recipe(
        name="finetune",
        epochs=12,
        least_steps=200,
        batch_size=32,
        optimizer=Optimizer(kind="sgd", lr=0.02, nesterov=True, weight_decay=1e-4, decay_norm_and_bias=False),
        schedule=Schedule(kind="cosine", warmup_epochs=0.5),
        augmentation=Augmentation(random_resized_crop=0.35, flip="random"),
        label_smoothing=0.1,
        finetune=Finetune(weights="torchvision", head_epochs=2, body_rate=0.1),
    )


def sounds() -> Recipe:
    """A folder of sounds: windows of mel spectrograms with SpecAugment, one cycle of SGD, 20 epochs.

    Half of the epochs see the spectrograms at 40 x 40, which costs 0.4 of a full one. Views begin at another frame in
    every epoch; two stretches of time and two ranges of frequency are hidden (Park et al. 2019, without its time warp,
    which they found to matter least). The spectrogram is the table [audio]: 16 kHz, 64 mel bands, 64 frames of 16 ms.
    What it reaches on spoken digits and on instruments stands in docs/sound.md.
    """
    return Recipe(
        name="sounds",
        epochs=20,
        least_steps=300,
        batch_size=64,
        optimizer=Optimizer(kind="sgd", lr=0.05, nesterov=True, weight_decay=5e-4, decay_norm_and_bias=False),
        schedule=Schedule(kind="one-cycle", peak_at=0.3),
        input=Input(sides=((0.5, 40),)),
        augmentation=Augmentation(
            time_crop=True, time_masks=2, time_mask=12, frequency_masks=2, frequency_mask=8
        ),
        label_smoothing=0.1,
        ema=0.98,
        evaluate_every=5,
        audio=Audio(),
    )


NAMED: dict[str, Callable[[], Recipe]] = {
    builder.__name__: builder
    for builder in (fast, record, small, tiny, photos, finetune, sounds, arrays, paper, lecture)
}


def named_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    if name not in NAMED:
        raise UnknownNameError("recipe", name, NAMED, "A path to a TOML file is accepted as well")
    return NAMED[name]()
