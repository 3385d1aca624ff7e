"""Time series and arrays of numbers: files of them, what a network sees of them, and what training may do to them."""

from skipline.data.values.preprocessing import (
    AnyPreprocessing,
    ValuePreprocessing,
    expect_kind,
    images_only,
    pictures_only,
)

__all__ = ["AnyPreprocessing", "ValuePreprocessing", "expect_kind", "images_only", "pictures_only"]
