"""An exported file against the network it came from, on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skipline import metrics

LARGEST_DIFFERENCE = 1e-3  # of a probability in fp32: other sums of the same numbers stay far below it
AGREEMENT = 0.99  # share of top-1 answers that int8 must keep where nobody knows the labels


@dataclass(frozen=True)
class Comparison:
    """How the answers compare; shares are 0-1.

    Attributes:
        n: images.
        max_abs_difference: largest difference of a probability.
        top1_agreement: share of images for which both name the same class.
        accuracy_before: of the network; None without labels.
        accuracy_after: of the exported file; None without labels.
    """

    n: int
    max_abs_difference: float
    top1_agreement: float
    accuracy_before: float | None
    accuracy_after: float | None

    def objection(self, int8: bool, max_drop: float) -> str | None:
        """Why the file must not be kept, in one sentence; None for one that may.

        Args:
            int8: only the accuracy counts, or the agreement where there are no labels.
            max_drop: of the accuracy, 0-1.
        """
        if not int8:
            if not self.max_abs_difference <= LARGEST_DIFFERENCE:  # nan is no agreement
                return (
                    f"its probabilities differ by up to {self.max_abs_difference:.2g} from the network's on {self.n:,} "
                    f"images; at most {LARGEST_DIFFERENCE:g} is rounding"
                )
            return None
        if self.accuracy_before is None or self.accuracy_after is None:
            if self.top1_agreement < AGREEMENT:
                return f"int8 names the same class for only {self.top1_agreement:.1%} of {self.n:,} images"
            return None
        if self.accuracy_before - self.accuracy_after > max_drop:
            return (
                f"int8 falls from {self.accuracy_before:.2%} to {self.accuracy_after:.2%} of {self.n:,} images, more "
                f"than the {max_drop:.2%} allowed"
            )
        return None


def compare(
    before: npt.NDArray[np.floating], after: npt.NDArray[np.floating], labels: npt.NDArray[np.int64] | None
) -> Comparison:
    """Compare answers.

    Args:
        before: (N, K) probabilities of the network.
        after: (N, K) of the exported file.
        labels: (N,), or None.
    """
    assert before.shape == after.shape, (before.shape, after.shape)
    return Comparison(
        len(before),
        float(np.abs(before - after).max()),
        float((before.argmax(1) == after.argmax(1)).mean()),
        None if labels is None else metrics.top_k_accuracy(before, labels, 1),
        None if labels is None else metrics.top_k_accuracy(after, labels, 1),
    )
