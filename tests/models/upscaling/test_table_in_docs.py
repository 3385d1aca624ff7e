"""The table of docs/upscaling.md says what the networks are."""

from __future__ import annotations

from pathlib import Path

import pytest

from skipline.models.upscaling import create_upscaler, receptive_field, upscaler_names, upscaler_spec

PAGE = Path(__file__).parents[3] / "docs" / "upscaling.md"


@pytest.mark.skipif(not PAGE.exists(), reason="the documents are not part of this copy")
def test_the_table_of_networks_is_up_to_date() -> None:
    rows = {
        cells[0].strip("`"): cells[1:]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    assert set(rows) >= set(upscaler_names())
    for name in upscaler_names():
        spec, (_, params, macs, reach, _) = upscaler_spec(name), rows[name]
        counts = [f"{count / 1e3:,.0f} K" for count in spec.params]
        assert params == (counts[0] if len(set(counts)) == 1 else " / ".join(counts))
        assert macs == f"{spec.macs_of(2, 360, 640) / 1e9:.1f} G"
        assert reach == str(receptive_field(create_upscaler(name, scale=2)))
