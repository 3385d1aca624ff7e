"""What is examined: a network that can be built anew, the images it learns from, and how it is trained."""

from __future__ import annotations
