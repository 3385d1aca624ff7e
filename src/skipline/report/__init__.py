"""Pages that show what a run folder says; everything on them is derived from its files."""

from skipline.report.run import write_report

__all__ = ["write_report"]
