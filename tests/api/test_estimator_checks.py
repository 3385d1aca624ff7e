"""scikit-learn's own checks of an estimator, on rows: as far as a network that looks at images can take part."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from skipline import SkiplineClassifier

ESTIMATOR = SkiplineClassifier(
    "resnet20",
    "tiny",
    epochs=4,
    threads=1,
    pad_rows=True,
    settings=("batch_size=32", "ema=none", "augmentation.pad_crop=0"),
)

# With rows of 1 to 20 numbers as images of 1 x 1 to 5 x 5 pixels and one epoch, all but these pass.
EXPECTED: dict[str, str] = {}

CHECKS = [*estimator_checks_generator(ESTIMATOR, expected_failed_checks=EXPECTED)]


def name_of(check: Any) -> str:
    inner = getattr(check, "func", check)
    return str(getattr(inner, "__name__", inner))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CHECKS, ids=lambda case: name_of(case[1]))
def test_the_check_passes(case: Any) -> None:
    estimator, check = case
    name = name_of(check)
    if name in EXPECTED:
        with pytest.raises((AssertionError, ValueError)):
            check(estimator)
        return
    check(estimator)
