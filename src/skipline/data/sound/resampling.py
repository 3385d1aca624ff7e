"""Another sample rate, for samples that arrive in pieces."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

LARGEST_DENOMINATOR = 1_000
"""Ratios of rates are rounded to fractions with at most this denominator: all common rates are exact, an odd one such
as 44,101 is off by less than one part in a million, and no rate makes a filter of millions of taps."""
LOBES = 10  # zero crossings of the filter on either side, as `scipy.signal.resample_poly` has it
KAISER = 5.0  # likewise


class Resampler:
    """Does piece by piece what `scipy.signal.resample_poly` does at once.

    Args:
        given: samples a second that arrive.
        wanted: samples a second that come out.
    """

    def __init__(self, given: int, wanted: int) -> None:
        from scipy.signal import firwin

        ratio = Fraction(wanted, given).limit_denominator(LARGEST_DENOMINATOR)
        self._up, self._down = ratio.numerator, ratio.denominator
        self._same = ratio == 1
        if self._same:
            return
        half = LOBES * max(self._up, self._down)
        self._taps = firwin(2 * half + 1, 1 / max(self._up, self._down), window=("kaiser", KAISER))
        # Samples that a result depends on at either side, rounded up so that pieces begin on the grid of results.
        self._margin = -(-(half // self._up + 1) // self._down) * self._down
        self._buffer: Floats = np.zeros(self._margin, dtype=np.float32)

    def feed(self, samples: Floats) -> Floats:
        """Add samples; gives the results that are certain now.

        Args:
            samples: (L,) mono.
        """
        if self._same:
            return samples
        self._buffer = np.concatenate((self._buffer, samples))
        ready = (len(self._buffer) - 2 * self._margin) // self._down * self._down
        if ready <= 0:
            return np.empty(0, dtype=np.float32)
        found = self._results(self._buffer[: ready + 2 * self._margin], ready)
        self._buffer = self._buffer[ready:]
        return found

    def finish(self) -> Floats:
        """The last results; nothing can be added after them."""
        if self._same:
            return np.empty(0, dtype=np.float32)
        return self._results(self._buffer, len(self._buffer) - self._margin)

    def _results(self, buffer: Floats, count: int) -> Floats:
        """Those of `count` samples that stand behind the margin."""
        from scipy.signal import resample_poly

        whole = resample_poly(buffer, self._up, self._down, window=self._taps)
        start = self._margin * self._up // self._down
        part: Floats = whole[start : start - (-count * self._up // self._down)]
        return part.astype(np.float32, copy=False)
