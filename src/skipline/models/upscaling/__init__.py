"""Super-resolution networks: a small image in, a large one out, the bicubic enlargement inside."""

from skipline.models.upscaling.bicubic import BicubicEnlargement
from skipline.models.upscaling.catalogue import (
    SCALES,
    UpscalerSpec,
    create_upscaler,
    upscaler_names,
    upscaler_spec,
)
from skipline.models.upscaling.network import Upscaler, receptive_field

__all__ = [
    "SCALES",
    "BicubicEnlargement",
    "Upscaler",
    "UpscalerSpec",
    "create_upscaler",
    "receptive_field",
    "upscaler_names",
    "upscaler_spec",
]
