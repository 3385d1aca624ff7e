"""docs/scale-model.md is what its generator makes of the results beside it, and its example runs."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_committed_page_is_made_from_the_committed_results() -> None:
    page = runpy.run_path(str(DOCS / "generate_scale_model.py"))["page"]
    assert (DOCS / "scale-model.md").read_text(encoding="utf-8") == page(DOCS / "results" / "bench")


def test_the_example_for_ones_own_machines_runs() -> None:
    (code,) = re.findall(
        r"```python\n(.*?)```", (DOCS / "scale-model.md").read_text(encoding="utf-8"), re.DOTALL
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    first, second = printed.getvalue().splitlines()
    assert re.fullmatch(r"[\d,]+ images/s, efficiency \d+%, bound by (compute|network|input)", first)
    assert re.fullmatch(r"each host reads [\d,]+ MB/s; needs [\d.]+ GB/s between", second)
