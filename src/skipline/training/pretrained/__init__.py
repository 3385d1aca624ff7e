"""Where trained weights come from, and what comes with them."""

from skipline.training.pretrained.finding import find_weights
from skipline.training.pretrained.pretrained import Pretrained
from skipline.training.pretrained.settling import about_input, check_kind, settled, with_size

__all__ = ["Pretrained", "about_input", "check_kind", "find_weights", "settled", "with_size"]
