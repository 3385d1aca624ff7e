"""A bundle as one file for other runtimes, checked against the network that it came from."""

from skipline.export.comparison import Comparison
from skipline.export.export import Exported, export_bundle
from skipline.export.formats import FORMATS
from skipline.export.images import Probe, find_images

__all__ = ["FORMATS", "Comparison", "Exported", "Probe", "export_bundle", "find_images"]
