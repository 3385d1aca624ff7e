"""The recipe: everything that decides how a network is trained, in one frozen, validated value."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skipline.data import Audio, Augmentation
from skipline.errors import RecipeError, shown

MISTAKES_SHOWN = 20
MOST = 2**31  # of epochs, images or steps; more is a slip or meant to do harm
Count = Annotated[int, Field(ge=1, lt=MOST)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Optimizer(_Section):
    """How weights move.

    Attributes:
        kind: "sgd", "adam" (weight decay in the gradient, L2) or "adamw" (decoupled).
        lr: peak learning rate, before the schedule. It is that of a whole step of `batch_size` x `accumulate` images,
            however many processes share them.
        lr_batch: how many images a step `lr` is for: with other steps the rate is scaled in proportion (Goyal et al.,
            1706.02677). What came of it is saved. None takes `lr` as it stands.
        momentum: SGD's momentum, or Adam's beta1.
        nesterov: look-ahead momentum; SGD only.
        beta2: Adam's second decay rate.
        weight_decay: coefficient of the decay.
        decay_norm_and_bias: whether biases and normalisation weights decay as well.
        norm_bias_rate: learning rate of the biases of normalisation layers as a multiple of the others'; a step's
            decay stays as it was (Page 2019; Jordan, 2404.00498: 64).
        accumulate: batches whose gradients are averaged before one step.
        clip_norm: largest global gradient norm, or None.
    """

    kind: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Positive = 0.1
    lr_batch: Count | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    decay_norm_and_bias: bool = True
    norm_bias_rate: Positive = 1.0
    accumulate: Count = 1
    clip_norm: Positive | None = None

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Optimizer:
        if self.nesterov and (self.kind != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs kind = 'sgd' and momentum > 0")
        return self


class Schedule(_Section):
    """How the learning rate moves; every point in time is a fraction of the whole run.

    Attributes:
        kind: "constant"; "step" (times `gamma` at each milestone); "cosine" (to `final`); "triangular" (linear
            up to `peak_at`, linear down to `final`); "one-cycle" (the same with cosine ramps).
        milestones: fractions of the run, ascending; for "step".
        gamma: factor at each milestone.
        peak_at: fraction of the run at which the rate peaks; for "triangular" and "one-cycle".
        start: rate at the first step as a share of the peak; for "triangular" and "one-cycle".
        final: rate at the last step as a share of the peak.
        warmup_epochs: epochs over which the rate grows linearly from 0; on top of any kind.
        warmup_until_error: hold the rate at `warmup_factor` until the training error of the last 100 steps is
            below this fraction (He et al. 2015, section 4.2: 0.8 for ResNet-110), or None.
        warmup_factor: share of the rate while `warmup_until_error` holds.
    """

    kind: Literal["constant", "step", "cosine", "triangular", "one-cycle"] = "step"
    milestones: tuple[Fraction, ...] = ()
    gamma: Positive = 0.1
    peak_at: Annotated[float, Field(gt=0, lt=1)] = 0.25
    start: Fraction = 0.04
    final: Fraction = 0.0
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    warmup_until_error: Annotated[float, Field(gt=0, lt=1)] | None = None
    warmup_factor: Positive = 0.1

    @model_validator(mode="after")
    def _milestones_ascend(self) -> Schedule:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must ascend, got {shown(list(self.milestones))}")
        if self.kind == "step" and not self.milestones:
            raise ValueError("kind = 'step' needs milestones, fractions of the run such as [0.5, 0.75]")
        return self


class Input(_Section):
    """What the network sees.

    Attributes:
        side: pixels of the square input, or None for that of the weights, else the source's own (photos: 224).
        stored: pixels of the square that photos are decoded to, or None for that of the weights, else side x 8 / 7.
        normalise: "auto" (`mean` and `std` below, else those that the weights were trained with, else "data"), "data"
            (the training images' own statistics), "imagenet", "lecture" (the CIFAR-10 figures that the lecture uses)
            or "none" (0-1).
        mean: a channel, on 0-1, to subtract; with `std`.
        std: a channel, on 0-1, to divide by.
        sides: progressive resizing: pairs (fraction of the run up to which it holds, side); after the last,
            `side`. Empty for none.
    """

    side: Annotated[int, Field(ge=1, le=4096)] | None = None
    stored: Annotated[int, Field(ge=1, le=4096)] | None = None
    normalise: Literal["auto", "data", "imagenet", "lecture", "none"] = "auto"
    mean: tuple[float, ...] | None = None
    std: tuple[Positive, ...] | None = None
    sides: tuple[tuple[Fraction, Annotated[int, Field(ge=1, le=4096)]], ...] = ()

    @model_validator(mode="after")
    def _mean_and_std_agree(self) -> Input:
        if self.mean is None and self.std is None:
            return self
        if self.mean is None or self.std is None or len(self.mean) != len(self.std):
            raise ValueError("mean and std belong together, one of each a channel")
        if self.normalise != "auto":
            raise ValueError(
                f"mean and std hold with normalise = 'auto', '{self.normalise}' brings its own: set one of them to none"
            )
        return self


class Finetune(_Section):
    """How a network that already knows something is adapted.

    Attributes:
        weights: a file, a bundle, "torchvision", "torchvision:ENUM.MEMBER" or "hub:OWNER/NAME"; None trains from
            scratch.
        head_epochs: first epochs in which only the new head learns.
        body_rate: learning rate of the body as a share of the head's.
        freeze_body: keep the body as it is for the whole run.
        freeze_norm: let BN compute with the statistics of the weights and keep its scale and shift, as batches of few
            images estimate their own badly.
    """

    weights: str | None = None
    head_epochs: Annotated[int, Field(ge=0, lt=MOST)] = 0
    body_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    freeze_body: bool = False
    freeze_norm: bool = False


class Upscaling(_Section):
    """How a network learns to enlarge images; `skipline upscale` alone reads it.

    Attributes:
        patch: side in pixels of the large patches of a step, a multiple of the scale.
        steps_per_epoch: an epoch is so many batches, however many photos there are.
        loss: "l1", mean absolute error (Lim et al. 2017), or "l2", mean squared error (Kim et al. 2016).
        jpeg: quality of JPEG artefacts that the small images have, 1-95; None for none.
    """

    patch: Annotated[int, Field(ge=8, le=1024)] = 96
    steps_per_epoch: Annotated[int, Field(ge=1, le=100_000)] = 50
    loss: Literal["l1", "l2"] = "l1"
    jpeg: Annotated[int, Field(ge=1, le=95)] | None = None


class Distributed(_Section):
    """How several processes train one network together. For one process, nothing of it counts.

    Attributes:
        sync_norm: batch normalisation takes mean and variance over the whole batch, instead of each process over its
            own part of it: then the result does not depend on how many processes share a batch.
        sharded: every process keeps a part of each weight, of its gradient and of the optimiser's state (FSDP), for
            networks that do not fit; without, each has all of them and only gradients travel.
        bf16_gradients: gradients travel as bfloat16, half the bytes, where the network between processes is slow; every
            process rounds its share before they are added up. Not with `sharded`.
        timeout: seconds after which a process that gives no answer ends the attempt.
    """

    sync_norm: bool = False
    sharded: bool = False
    bf16_gradients: bool = False
    timeout: Annotated[float, Field(ge=1, le=86_400)] = 300.0


class Recipe(_Section):
    """A complete recipe; the named ones are functions in `skipline.training.recipes`.

    Attributes:
        name: the recipe it began as.
        epochs: passes over the training images; with `minutes`, the most.
        minutes: of training; the run measures its steps at the start and takes as many epochs as fit. What was
            chosen is saved, so a resumed run goes on with it. None takes `epochs` as they stand.
        least_steps: of the run: where a source has so few images that `epochs` make fewer, there are more epochs, and
            `finetune.head_epochs`, `schedule.warmup_epochs` and `evaluate_every` grow with them. What was chosen is
            saved. None takes `epochs` as they stand.
        batch_size: images a step, of all processes together.
        leftover: what an epoch does with the images that fill no batch of `batch_size`: "spread" makes one batch more
            and all of about the same size, so that every image is seen once an epoch; "drop" leaves them out, others
            every time.
        optimizer: how weights move.
        schedule: how the rate moves.
        input: what the network sees.
        augmentation: what is done to training images.
        label_smoothing: share of the target spread over all classes (Szegedy et al. 2016).
        zero_gamma: start the last BN of each residual branch at 0 (Goyal et al. 2017).
        stochastic_depth: drop rate of the last residual branch, growing linearly from 0 (Huang et al. 2016).
        whiten: set the first convolution to the whitening patterns of the training images and do not learn it, where
            the network has a layer for it, as quick-resnet8 has; others learn theirs.
        ema: decay per step of an exponential moving average of weights and statistics, used for
            evaluation and the bundle; None for none.
        lookahead: let the weights return to their own slow average every five steps, more and more of it towards
            the end (Zhang et al., 1907.08610; the growth is airbench94's).
        early_stopping: stop after this many epochs without a better measurement; needs validation images.
        evaluate_every: epochs between measurements; the last epoch is always measured.
        tta: test-time augmentation reported beside the plain result: "none", "flip" or "flip-shift".
        precision: "auto" (measured), "fp32" or "bf16".
        gradient_checkpointing: keep the inputs of residual blocks alone and compute what lies between again in the
            backward pass (Chen et al., 1604.06174): a fraction of the memory, for another forward pass of time.
        checkpoint_every: steps between checkpoints.
        finetune: where trained weights come from and how they are adapted.
        audio: how sounds become spectrograms; None for images.
        upscaling: how a network learns to enlarge images; None for all others.
        distributed: how several processes train together.
    """

    name: str = "custom"
    epochs: Count = 10
    minutes: Positive | None = None
    least_steps: Count | None = None
    batch_size: Count = 128
    leftover: Literal["spread", "drop"] = "spread"
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(kind="constant")
    input: Input = Input()
    augmentation: Augmentation = Augmentation()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    zero_gamma: bool = False
    stochastic_depth: Annotated[float, Field(ge=0, lt=1)] = 0.0
    whiten: bool = False
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    lookahead: bool = False
    early_stopping: Count | None = None
    evaluate_every: Count = 1
    tta: Literal["none", "flip", "flip-shift"] = "none"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    checkpoint_every: Count = 200
    finetune: Finetune = Finetune()
    audio: Audio | None = None
    upscaling: Upscaling | None = None
    distributed: Distributed = Distributed()

    @model_validator(mode="after")
    def _nothing_undoes_another(self) -> Recipe:
        if self.lookahead and self.ema is not None:
            raise ValueError("lookahead and ema both average the weights: keep one, leave the other out")
        if self.whiten and self.finetune.weights is not None:
            raise ValueError(
                "whiten would replace the first layer of the weights that finetune.weights brings"
            )
        if self.audio is not None:
            self._fits_sounds(self.audio)
        return self

    def _fits_sounds(self, audio: Audio) -> None:
        """What is said of images must hold for spectrograms as well."""
        if self.input.side not in (None, audio.mels):
            raise ValueError(
                f"input.side must be audio.mels = {audio.mels}, or left out, for sounds, got {self.input.side}"
            )
        if self.input.stored is not None and self.input.stored < audio.mels:
            raise ValueError(
                f"input.stored counts frames, at least audio.mels = {audio.mels}, got {self.input.stored}"
            )
        if self.tta != "none":
            raise ValueError(f"tta = '{self.tta}' would play sounds backwards: set it to none")

    def side(self, epoch: int, epochs: int) -> int | None:
        """Pixels of the input in an epoch (from 0) of a run of so many; None is the full side, as in the last epoch.

        Spectrograms of few mel bands are not enlarged.
        """
        if epoch == epochs - 1:
            return None
        side = next((side for until, side in self.input.sides if epoch / epochs < until), None)
        enlarged = self.audio is not None and side is not None and side >= self.audio.mels
        return None if enlarged else side


def validated(values: dict[str, Any], origin: str = "recipe") -> Recipe:
    """Build a recipe from plain values.

    Args:
        values: nested tables as TOML has them; absent keys take their defaults.
        origin: what to call the values in an error.

    Returns:
        The recipe.

    Raises:
        RecipeError: every mistake together, each with its key, what was expected and what arrived.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        mistakes = [_sentence(e) for e in error.errors(include_url=False)[:MISTAKES_SHOWN]]
        more = error.error_count() - len(mistakes)
        raise RecipeError([*mistakes, *([f"and {more:,} more"] if more else [])], origin) from None


def _sentence(error: Any) -> str:
    key = ".".join(str(part)[:100] for part in error["loc"]) or "recipe"
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key '{key}'{_nearest(key)}"
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    arrived = "" if isinstance(error["input"], dict | BaseModel) else f", got {shown(error['input'])}"
    return f"{key}: {message}{'' if 'got' in message else arrived}"


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key, keys(), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def keys() -> dict[str, bool]:
    """Every key that `--set` and a TOML file may name, dotted, with whether None is a value for it."""
    flat: dict[str, bool] = {}
    for name, field in Recipe.__pydantic_fields__.items():
        parts = (
            field.annotation,
            *get_args(field.annotation),
        )  # a section that may be absent is a union with None
        inner = next(filter(None, (getattr(part, "__pydantic_fields__", None) for part in parts)), None)
        if inner is None:
            flat[name] = type(None) in get_args(field.annotation)
        else:
            flat |= {f"{name}.{leaf}": type(None) in get_args(f.annotation) for leaf, f in inner.items()}
    return flat
