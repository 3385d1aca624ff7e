"""Super-resolution networks at work: images of any size in tiles, photos as files, photos to learn from."""

from skipline.upscaling.enlarging import enlarge_photo
from skipline.upscaling.photo import Photo, check_target, read_photo, write_photo
from skipline.upscaling.tiles import Tiling, plan_tiles, upscale, upscaled_tiles

__all__ = [
    "Photo",
    "Tiling",
    "check_target",
    "enlarge_photo",
    "plan_tiles",
    "read_photo",
    "upscale",
    "upscaled_tiles",
    "write_photo",
]
