"""Networks that enlarge images: photos, patches, runs, bundles, and images of any size in tiles."""

from skipline.upscaling.applying import apply_to_files
from skipline.upscaling.bundle import Upscaler, is_upscaler, load_upscaler, save_upscaler
from skipline.upscaling.enlarging import enlarge_picture
from skipline.upscaling.evaluation import UpscaleEvaluation, evaluate_upscaler
from skipline.upscaling.photos import Photos, open_photos
from skipline.upscaling.picture import Picture, check_target, read_picture, write_picture
from skipline.upscaling.recipes import upscaling_recipe
from skipline.upscaling.report import write_upscaling_report
from skipline.upscaling.run import UpscaleRun, resume_upscaling, start_upscaling
from skipline.upscaling.tiles import Tiling, plan_tiles, upscale, upscaled_tiles

__all__ = [
    "Photos",
    "Picture",
    "Tiling",
    "UpscaleEvaluation",
    "UpscaleRun",
    "Upscaler",
    "apply_to_files",
    "check_target",
    "enlarge_picture",
    "evaluate_upscaler",
    "is_upscaler",
    "load_upscaler",
    "open_photos",
    "plan_tiles",
    "read_picture",
    "resume_upscaling",
    "save_upscaler",
    "start_upscaling",
    "upscale",
    "upscaled_tiles",
    "upscaling_recipe",
    "write_picture",
    "write_upscaling_report",
]
