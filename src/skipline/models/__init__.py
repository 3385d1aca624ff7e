"""Networks and their catalogue: residual networks with their plain twins, and what they are compared with."""

from skipline.models.blocks import Block
from skipline.models.build import create, twin
from skipline.models.catalogue import Spec, family, names, spec
from skipline.models.cost import Cost, cost
from skipline.models.layer_cost import LayerCost
from skipline.models.layouts import LAYOUTS, akamaster_layout, timm_layout
from skipline.models.network import Network, Outputs
from skipline.models.shortcuts import add
from skipline.models.stages import StageCost

__all__ = [
    "LAYOUTS",
    "Block",
    "Cost",
    "LayerCost",
    "Network",
    "Outputs",
    "Spec",
    "StageCost",
    "add",
    "akamaster_layout",
    "cost",
    "create",
    "family",
    "names",
    "spec",
    "timm_layout",
    "twin",
]
