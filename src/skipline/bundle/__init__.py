"""What a finished run leaves behind: a folder to ship, and what can be done with it."""

from skipline.bundle.bundle import Bundle
from skipline.bundle.classes import match_classes
from skipline.bundle.evaluation import ClassScore, Evaluation, by_file, evaluate, score
from skipline.bundle.feature_files import WrittenFeatures, check_feature_file, write_features
from skipline.bundle.features import FeatureBatch, Features, feature_batches
from skipline.bundle.foreign import LoadedWeights, load_foreign
from skipline.bundle.inference import PRECISIONS, TEST_TIME_AUGMENTATIONS, logits_of
from skipline.bundle.inputs import ImageInput
from skipline.bundle.loading import find_bundle, load_bundle
from skipline.bundle.prediction import Prediction
from skipline.bundle.saving import save_bundle
from skipline.bundle.torch_files import read_torch_file

__all__ = [
    "PRECISIONS",
    "TEST_TIME_AUGMENTATIONS",
    "Bundle",
    "ClassScore",
    "Evaluation",
    "FeatureBatch",
    "Features",
    "ImageInput",
    "LoadedWeights",
    "Prediction",
    "WrittenFeatures",
    "by_file",
    "check_feature_file",
    "evaluate",
    "feature_batches",
    "find_bundle",
    "load_bundle",
    "load_foreign",
    "logits_of",
    "match_classes",
    "read_torch_file",
    "save_bundle",
    "score",
    "write_features",
]
