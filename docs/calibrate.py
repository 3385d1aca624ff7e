"""Examine every case of both zoos and write the tables into docs/diagnosis.md, between its markers.

    python docs/calibrate.py --seeds 0 1 2

An hour or so on two cores; what is done is kept in --folder, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from skipline.diagnosis.calibration import calibrate, page

PAGE = Path(__file__).parent / "diagnosis.md"
BEGIN, END = "<!-- begin: docs/calibrate.py -->", "<!-- end: docs/calibrate.py -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--processes", type=int, default=None)
    parser.add_argument("--folder", type=Path, default=Path("runs/calibration"))
    wanted = parser.parse_args()

    seen: set[int] = set()

    def progress(what: str, done: int, total: int) -> None:
        if what == "examinations" and done not in seen:
            seen.add(done)
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    found = calibrate(wanted.folder, seeds=wanted.seeds, processes=wanted.processes, progress=progress)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = page(found, f"python docs/calibrate.py --seeds {' '.join(map(str, wanted.seeds))}")
    PAGE.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")
    print(f"wrote {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
