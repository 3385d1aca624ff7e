"""Data sets that do not fit: images in many tar archives, read in place while a network learns from them."""

from skipline.data.shards.lazy import LazyImages
from skipline.data.shards.naming import holds_shards
from skipline.data.shards.packing import Packed, pack
from skipline.data.shards.source import open_shards
from skipline.data.shards.verifying import Verified, verify

__all__ = ["LazyImages", "Packed", "Verified", "holds_shards", "open_shards", "pack", "verify"]
