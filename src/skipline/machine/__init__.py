"""What a machine is, and what was found out by measuring on it."""

from skipline.machine.description import available_cores, describe_machine, device, peak_memory_bytes
from skipline.machine.pages import keep_pages

__all__ = ["available_cores", "describe_machine", "device", "keep_pages", "peak_memory_bytes"]
