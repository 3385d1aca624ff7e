"""Images: sources, the cache that they are decoded into once, augmentation, batches and the audit of a data set."""

from skipline.data.audit import Audit, check_source
from skipline.data.augmentation import Augmentation
from skipline.data.batches import Batch, Batches
from skipline.data.decoding import decode_image
from skipline.data.folder import image_files
from skipline.data.imageset import Dataset, ImageSet, Problem
from skipline.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from skipline.data.progress import Progress, silent
from skipline.data.sound import Audio, decode_sound, open_sounds, sound_files
from skipline.data.sources import open_source
from skipline.data.statistics import channel_statistics

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Audio",
    "Audit",
    "Augmentation",
    "Batch",
    "Batches",
    "Dataset",
    "ImageSet",
    "Preprocessing",
    "Problem",
    "Progress",
    "channel_statistics",
    "check_source",
    "decode_image",
    "decode_sound",
    "image_files",
    "open_sounds",
    "open_source",
    "silent",
    "sound_files",
]
