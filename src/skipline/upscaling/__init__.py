"""Networks that enlarge images: photos, patches, runs, bundles, and images of any size in tiles."""

from skipline.upscaling.bundle import Upscaler, is_upscaler, load_upscaler, save_upscaler
from skipline.upscaling.evaluation import UpscaleEvaluation, evaluate_upscaler
from skipline.upscaling.photos import Photos, open_photos
from skipline.upscaling.recipes import named
from skipline.upscaling.report import write_upscaling_report
from skipline.upscaling.run import UpscaleRun, resume_upscaling, start_upscaling

__all__ = [
    "Photos",
    "UpscaleEvaluation",
    "UpscaleRun",
    "Upscaler",
    "evaluate_upscaler",
    "is_upscaler",
    "load_upscaler",
    "named",
    "open_photos",
    "resume_upscaling",
    "save_upscaler",
    "start_upscaling",
    "write_upscaling_report",
]
