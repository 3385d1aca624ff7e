"""Pages that show what a run folder says; everything on them is derived from its files."""

from skipline.report.run import run_page, write_report

__all__ = ["run_page", "write_report"]
