"""Measurements inside any network, which leave it as it was."""

from skipline.diagnosis.probes.lesions import logits_without, residual_sums
from skipline.diagnosis.probes.observer import ProbeObserver
from skipline.diagnosis.probes.reading import BlockReading, LayerReading, NormReading, Reading
from skipline.diagnosis.probes.take import residual_blocks, take_reading
from skipline.diagnosis.probes.updates import update_ratios, weight_snapshot, with_updates

__all__ = [
    "BlockReading",
    "LayerReading",
    "NormReading",
    "ProbeObserver",
    "Reading",
    "logits_without",
    "residual_blocks",
    "residual_sums",
    "take_reading",
    "update_ratios",
    "weight_snapshot",
    "with_updates",
]
