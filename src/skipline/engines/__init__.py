"""How a finished network is computed: BN folded, other number formats, OpenVINO underneath, chosen by measurement."""

from skipline.engines.choice import choose_engine
from skipline.engines.engine import Engine, Forward, Way
from skipline.engines.folding import folded, worth_folding
from skipline.engines.quantisation import quantised
from skipline.engines.sizes import choose_for_sizes

__all__ = [
    "Engine",
    "Forward",
    "Way",
    "choose_engine",
    "choose_for_sizes",
    "folded",
    "quantised",
    "worth_folding",
]
