"""scikit-learn's own checks of an estimator: as far as a network that looks at images can take part."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from skipline import SkiplineClassifier

# Rows of few numbers are images of few pixels: shifting them, as recipe `tiny` does, would leave nothing.
QUICK: dict[str, Any] = {
    "model": "resnet20",
    "recipe": "tiny",
    "epochs": 4,
    "threads": 1,
    "settings": ("batch_size=32", "ema=none", "augmentation.pad_crop=0"),
}
NO_SQUARE = "its rows have 2, 3, 5 or 10 numbers, and without pad_rows a row must be a square image"
# Estimator -> check that cannot apply -> why.
EXPECTED: dict[str, dict[str, str]] = {
    "rows of any length": {},
    "square rows": dict.fromkeys(
        [
            "check_classifier_data_not_an_array",
            "check_classifiers_classes",
            "check_classifiers_train",
            "check_dict_unchanged",
            "check_dont_overwrite_parameters",
            "check_dtype_object",
            "check_estimators_dtypes",
            "check_estimators_fit_returns_self",
            "check_estimators_nan_inf",
            "check_estimators_overwrite_params",
            "check_estimators_pickle",
            "check_f_contiguous_array_estimator",
            "check_fit2d_predict1d",
            "check_fit_check_is_fitted",
            "check_fit_idempotent",
            "check_fit_score_takes_y",
            "check_methods_sample_order_invariance",
            "check_methods_subset_invariance",
            "check_n_features_in",
            "check_pipeline_consistency",
            "check_readonly_memmap_input",
            "check_supervised_y_2d",
        ],
        NO_SQUARE,
    ),
}
ESTIMATORS = {
    "rows of any length": SkiplineClassifier(**QUICK, pad_rows=True),
    "square rows": SkiplineClassifier(**QUICK),
}


def name_of(check: Any) -> str:
    inner = getattr(check, "func", check)
    return str(getattr(inner, "__name__", inner))


CASES = [
    pytest.param(kind, made, check, id=f"{kind}-{name_of(check)}")
    for kind, estimator in ESTIMATORS.items()
    for made, check in estimator_checks_generator(estimator)
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "estimator", "check"), CASES)
def test_the_check_passes_or_cannot_apply(kind: str, estimator: SkiplineClassifier, check: Any) -> None:
    if name_of(check) in EXPECTED[kind]:
        with pytest.raises(ValueError, match="expected rows of a square number of pixels"):
            check(estimator)
    else:
        check(estimator)
