"""A residual network as a scikit-learn classifier."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from skipline.api.arrays import Pixels, as_images, scale_of

if TYPE_CHECKING:
    from skipline.data import Dataset
    from skipline.training import Recipe


class SkiplineClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train a network of the catalogue on arrays; works in a `Pipeline`, in `cross_val_score` and `GridSearchCV`.

    X may be images (N, side, side) or (N, side, side, channels) with 1, 3 or 4 channels, as uint8 or as floats on
    0-1, or rows (N, F) of grey pixels, F being a square: such as scikit-learn's digits, of any scale.

    Args:
        model: catalogue name (see `skipline models`); None chooses by the size of the images, as `skipline train` does.
        recipe: a recipe's name, a TOML file or a `Recipe`; None chooses by the size of the images.
        epochs: instead of the recipe's.
        settings: "key=value" texts that change single keys of the recipe, such as "optimizer.lr=0.05".
        shortcut: "A", "B", "C" or "none" instead of the model's own.
        random_state: of weights, order and augmentation.
        threads: of PyTorch while it trains; None takes one a core. Set 1 where scikit-learn runs several at once.
        pad_rows: fill rows of any length up to a square with black. What that means for a network that looks for
            what is near each other is yours to judge.

    Attributes:
        classes_: (K,) the labels, sorted.
        n_features_in_: F, where X was rows.
        image_shape_: (side, side, channels) as the network sees images.
        network_: the trained `torch.nn.Module`, in evaluation mode.
        preprocessing_: what lies between pixels and the network.
        epochs_: passes over the training images.
    """

    def __init__(
        self,
        model: str | None = None,
        recipe: str | Path | Recipe | None = None,
        *,
        epochs: int | None = None,
        settings: Sequence[str] = (),
        shortcut: str | None = None,
        random_state: int | np.random.RandomState | None = None,
        threads: int | None = None,
        pad_rows: bool = False,
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.epochs = epochs
        self.settings = settings
        self.shortcut = shortcut
        self.random_state = random_state
        self.threads = threads
        self.pad_rows = pad_rows

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> SkiplineClassifier:  # noqa: N803 - scikit-learn's names
        """Train.

        Args:
            X: images or rows, see the class.
            y: (N,) labels: numbers or texts.

        Returns:
            Itself.

        Raises:
            ValueError: X or y are of another form, or y has a single class.
            InputError: there is no such model or recipe, or they do not fit the images.
        """
        from skipline.training.in_memory import train_in_memory

        values = self._checked(X, fitting=True)
        if y is None:
            raise ValueError("this classifier requires y to be passed, but the target y is None")
        labels = column_or_1d(y, warn=True)
        if len(labels) != len(values):
            raise ValueError(
                f"X has {len(values)} samples and y has {len(labels)}: expected one label a sample"
            )
        check_classification_targets(labels)
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y holds a single class, {classes[0]!r}, with n_samples = {len(labels)}: expected at least two classes"
            )
        scale = scale_of(values)
        images = as_images(values, scale, pad_rows=self.pad_rows)
        dataset = _dataset(images, numbers.astype(np.int64), [str(name) for name in classes])
        model, recipe = self._chosen(dataset)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        options = {} if self.shortcut is None else {"shortcut": self.shortcut}
        with tempfile.TemporaryDirectory(prefix="skipline-") as scratch:
            self.network_, self.preprocessing_, self.epochs_ = train_in_memory(
                dataset, model, recipe, Path(scratch), options=options, seed=seed, threads=self.threads
            )
        self.classes_, self.scale_, self.image_shape_ = classes, scale, images.shape[1:]
        self._recipe_name = recipe.name
        return self

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:  # noqa: N803
        """(N, K) probabilities, in the order of `classes_`.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: X is of another form than in `fit`.
        """
        from skipline.bundle import logits_of
        from skipline.data import ImageSet
        from skipline.metrics import softmax

        check_is_fitted(self)
        values = self._checked(X, fitting=False)
        scale = self.scale_ if values.ndim == 2 else scale_of(values)
        images = as_images(values, scale, pad_rows=self.pad_rows)
        if images.shape[1:] != self.image_shape_:
            raise ValueError(f"X holds images of shape {images.shape[1:]}, but fit saw {self.image_shape_}")
        labels = np.zeros(len(images), dtype=np.int64)
        given = ImageSet(images, labels, tuple(map(str, self.classes_)), "test", "")
        probabilities: npt.NDArray[np.float64] = softmax(
            logits_of(self.network_, given, self.preprocessing_).astype(np.float64)
        )
        return probabilities

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:  # noqa: N803
        """(N,) the most probable of `classes_`; raises as `predict_proba`."""
        probabilities = self.predict_proba(X)
        labels: npt.NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels

    def to_bundle(self, folder: str | Path) -> Path:
        """Write the trained network as a bundle, for `skipline predict`, `push` and the like.

        Its accuracy is not known here, so the bundle's card claims none. Pixels are those that `fit` made: grey rows of
        another scale than 0-255 are to be brought to it before they become image files.

        Args:
            folder: created; an earlier bundle there is replaced.

        Returns:
            The folder.

        Raises:
            NotFittedError: `fit` was not called.
            InputError: the folder holds something else than a bundle.
            StorageError: the disk is full or not writable.
        """
        from skipline.bundle import save_bundle
        from skipline.machine import describe_machine

        check_is_fitted(self)
        names = [str(name) for name in self.classes_]
        provenance = {"recipe": self._recipe_name, "skipline": describe_machine()["skipline"]}
        save_bundle(folder, self.network_, names, self.preprocessing_, {}, provenance)
        return Path(folder)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _checked(self, X: npt.ArrayLike, *, fitting: bool) -> npt.NDArray[Any]:  # noqa: N803
        """X as an array of finite real numbers, rows compared with those of `fit`."""
        if getattr(X, "ndim", 2) > 2:
            array: npt.NDArray[Any] = check_array(X, ensure_2d=False, allow_nd=True)
            if fitting and hasattr(self, "n_features_in_"):
                del self.n_features_in_
            return array
        rows: npt.NDArray[Any] = validate_data(self, X, reset=fitting)
        return rows

    def _chosen(self, dataset: Dataset) -> tuple[str, Recipe]:
        """Model and recipe: what was asked for, and what suits the images where nothing was."""
        from skipline.api.training import given_recipe
        from skipline.training import default_choice

        recipe = given_recipe(self.recipe, self.settings, self.epochs)
        model, default = default_choice(dataset, False, self.model)
        if recipe is None:
            # The arrays are as large as they are; photos of a recipe's own size would have to be read from files.
            own_size = default.input.model_copy(update={"side": None, "stored": None})
            recipe = given_recipe(default.model_copy(update={"input": own_size}), self.settings, self.epochs)
            assert recipe is not None
        return self.model or model, recipe


def _dataset(images: Pixels, labels: npt.NDArray[np.int64], classes: Sequence[str]) -> Dataset:
    from dataclasses import replace

    from skipline.data.arrays import in_memory
    from skipline.training.plan import SMALL_SIDE

    splits = {"train": (images, labels), "test": (images[:0], labels[:0])}
    dataset = in_memory("arrays", splits, tuple(classes))
    return replace(dataset, photographic=images.shape[1] > SMALL_SIDE)
