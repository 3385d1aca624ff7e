"""Rules on residual blocks: is the shortcut free, and does the branch do anything?"""

from __future__ import annotations

from skipline.diagnosis.evidence import Evidence
from skipline.diagnosis.findings import Finding
from skipline.diagnosis.probes.reading import BlockReading, Reading
from skipline.diagnosis.rules.rule import CALIBRATED, ends, no_trial

FIDELITY = 0.2  # ||h(x) - x|| / ||x||; an identity has 0, a shortcut times 0.5 has 0.5
RHO = 1e-3
GROWN = 3.0  # times: a branch that wakes up is no collapse
COST = 0.01  # nats: removing a block that costs less is within the noise of seeds
NOTHING = 1e-8


def impeded(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Shortcuts that change what they carry although the shape stays."""
    reading = _reading(evidence)
    if reading is None:
        return no_trial(evidence) or "no reading of the probes"
    if not reading.blocks:
        return "the network has no residual blocks"
    found = [block for block in reading.blocks if block.fidelity is not None and block.fidelity > FIDELITY]
    if not found:
        return ()
    worst = max(block.fidelity or 0.0 for block in found)
    return (
        Finding(
            diagnosis="impeded shortcut",
            severity="warning",
            where=ends([block.name for block in found]),
            value=worst,
            threshold=FIDELITY,
            source=f"{CALIBRATED}; He et al. 2016 (1603.05027): x0.5, 1x1 and dropout on the shortcut all hurt",
            remedy="leave the shortcut an identity wherever the shape allows it; full pre-activation",
            sentence=f"{len(found)} of {len(reading.blocks)} shortcuts change what they carry by up to {worst:.0%} "
            f"of its norm although the shape stays (alarm at {FIDELITY:.0%}; an identity has 0)",
            treatments=("shortcuts",),
        ),
    )


def collapse(evidence: Evidence) -> tuple[Finding, ...] | str:
    """Residual branches that add nothing after the warm-up, and that no one would miss."""
    if evidence.mismatch is not None:
        return "the forward pass fails (see shape mismatch)"
    last = evidence.final or (evidence.later[-1] if evidence.later else None)
    if last is None:
        return no_trial(evidence) or "no reading after the first steps"
    if not last.blocks:
        return "the network has no residual blocks"
    first = {block.name: block for block in evidence.start.blocks} if evidence.start else {}
    found = [block for block in last.blocks if _collapsed(block, first.get(block.name), evidence)]
    if not found:
        return ()
    smallest = min(block.rho for block in found)
    nothing = all(block.rho <= NOTHING for block in found)
    return (
        Finding(
            diagnosis="branch collapse",
            severity="error" if nothing and len(found) * 2 > len(last.blocks) else "warning",
            where=ends([block.name for block in found]),
            value=smallest,
            threshold=RHO,
            source=CALIBRATED,
            remedy="let the branches' last gammas learn, a larger rate, or fewer blocks",
            sentence=f"{len(found)} of {len(last.blocks)} residual branches add less than {RHO:g} of what the shortcut "
            f"carries at step {last.step}, and removing one costs less than {COST:g} nats",
            treatments=("unfreeze", "higher-rate"),
        ),
    )


def _collapsed(block: BlockReading, first: BlockReading | None, evidence: Evidence) -> bool:
    if block.rho >= RHO or (block.lesion is not None and block.lesion >= COST):
        return False
    # Zero-gamma and layer scale begin at or near 0 on purpose: what counts is whether the branch grows.
    waking = not evidence.trained and first is not None and block.rho > max(GROWN * first.rho, NOTHING)
    return not waking


def _reading(evidence: Evidence) -> Reading | None:
    if evidence.final is not None:
        return evidence.final
    return evidence.readings[-1] if evidence.readings else None
