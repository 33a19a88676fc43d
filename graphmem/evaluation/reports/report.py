"""What people read of an experiment, in both its forms."""

from __future__ import annotations

from pathlib import Path

from graphmem.evaluation.datasets.dataset import write_text
from graphmem.evaluation.reports.markdown import markdown_report
from graphmem.evaluation.reports.page import render_page


def write_reports(out: Path) -> None:
    """Write report.md and report.html of a results folder that is scored.

    Raises:
        DataError: The folder is not complete.
        MissingExtraError: Jinja2, which the page is made with, is not installed.
        StorageError: The folder cannot be written.
    """
    write_text(out / "report.md", markdown_report(out))
    write_text(out / "report.html", render_page(out))
