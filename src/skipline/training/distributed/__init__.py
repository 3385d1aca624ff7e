"""Several processes that train one network: who they are, what they share, how they begin anew."""

from skipline.training.distributed.group import Group
from skipline.training.distributed.joining import group

__all__ = ["Group", "group"]
