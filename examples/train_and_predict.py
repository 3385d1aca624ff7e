"""Train on handwritten digits, load the bundle, classify images it has not seen. About 20 seconds on a laptop."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import skipline


def main(folder: Path, epochs: int = 12) -> float:
    trained = skipline.train("digits", "resnet20", epochs=epochs, out=folder / "run")
    print("report:", trained.report)

    bundle = skipline.load(trained.run.bundle)
    test = skipline.open_source("digits").test
    predictions = bundle.predict(test.images[:8])
    for label, prediction in zip(test.labels, predictions, strict=False):
        print(
            f"a {test.classes[label]}, called {prediction.class_name} with probability {prediction.probability:.2f}"
        )
    return skipline.evaluate(bundle.network, test, bundle.preprocessing).top1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
