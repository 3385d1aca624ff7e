from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported without being packages

from sharded import serve, shards

__all__ = ["serve", "shards"]
