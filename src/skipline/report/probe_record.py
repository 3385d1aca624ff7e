"""What the probes wrote into events.jsonl and diagnosis.json, as typed values."""

from __future__ import annotations

from skipline.report.record import Number, Record, Whole


class LayerProbe(Record):
    """One call of one layer on one batch; norms are L2, `zeros` and `dead` shares 0-1, None where undefined."""

    name: str
    kind: str
    depth: Whole
    weight_norm: Number = None
    grad_norm: Number = None
    grad_weight_ratio: Number = None
    update_weight_ratio: Number = None
    activation_grad_norm: Number = None
    mean: Number = None
    std: Number = None
    zeros: Number = None
    dead: Number = None
    finite: bool = True

    @property
    def normalises(self) -> bool:
        """Whether it is a normalisation, whose few weights are not comparable with those of a convolution."""
        return "norm" in self.kind.lower()


class NormProbe(Record):
    """A batch normalisation's running statistics against those of the batch."""

    name: str
    mean_distance: Number = None
    variance_ratio: Number = None
    training: bool = True


class BlockProbe(Record):
    """A residual block y = F(x) + h(x); `rho` is std(F(x)) / std(h(x)), `response` std(F(x))."""

    name: str
    rho: Number = None
    fidelity: Number = None
    negative: Number = None
    response: Number = None
    trainable: bool = True
    lesion: Number = None


class Probe(Record):
    """All probes at one moment; losses in nats, `top1` 0-1."""

    step: Whole
    images: Whole
    loss: Number = None
    eval_loss: Number = None
    top1: Number = None
    layers: tuple[LayerProbe, ...] = ()
    norms: tuple[NormProbe, ...] = ()
    blocks: tuple[BlockProbe, ...] = ()


class Overhead(Record):
    """What the probes cost: seconds, and their share of the training time, 0-1; `skipped` readings were too dear."""

    seconds: Number = None
    share: Number = None
    skipped: Whole = 0

    def __add__(self, other: Overhead) -> Overhead:
        """The cost of two sessions together."""
        seconds = (self.seconds or 0.0) + (other.seconds or 0.0)
        trained = sum(part.seconds / part.share for part in (self, other) if part.seconds and part.share)
        share = round(seconds / trained, 5) if trained else None
        return Overhead(seconds=round(seconds, 3), share=share, skipped=self.skipped + other.skipped)
