"""Train on handwritten digits, then see where the network looks and which blocks it needs. About half a minute."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import skipline
from skipline.explanation import Explanation


def main(folder: Path, epochs: int = 12) -> Explanation:
    trained = skipline.train("digits", "resnet20", epochs=epochs, out=folder / "run")
    digits = skipline.open_source("digits").test.images[:6]
    # The last stage of resnet20 has 2 x 2 cells on images of 8 x 8 pixels; the first still has 8 x 8.
    found = skipline.explain(trained.run.bundle, digits, layer="layer1", out=folder / "explanation")
    for item, answer in found.answered:
        needed = min(answer.blocks, key=lambda without: without.probability)
        print(
            f"{item.file}: {answer.class_name} ({answer.probability:.1%}); without {needed.block} "
            f"{needed.probability:.1%}, and the answer is {needed.top1}"
        )
    print("page:", found.page)
    return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
