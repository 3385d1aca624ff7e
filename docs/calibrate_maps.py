"""Print how alike the maps of a trained network and of randomised ones are, for the table in docs/explain.md.

skipline train digits --model resnet20 --out runs/maps
python docs/calibrate_maps.py runs/maps digits --layers layer1 layer2 layer3
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np

import skipline
from skipline.explanation import METHODS, Explainer
from skipline.explanation.randomised import UNCHANGED_FROM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("source")
    parser.add_argument("--layers", nargs="+", required=True)
    parser.add_argument("--images", type=int, default=10**9, help="at most so many of the test images")
    wanted = parser.parse_args()
    bundle = skipline.load(wanted.bundle)
    preprocessing = bundle.preprocessing
    source = skipline.open_source(wanted.source, channels=preprocessing.channels, stored=preprocessing.stored)
    images = np.array(source.test.images[: wanted.images])
    print(
        "| Method | Layer | Cells | Random networks | Images | Median | 95 % | 99 % | Largest | Unchanged |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, layer, networks in rows(wanted.layers):
        explainer = Explainer(
            bundle.network,
            bundle.classes,
            preprocessing,
            method=name,
            layer=layer,
            blocks=False,
            networks=networks,
        )
        values = correlations(explainer, images)
        cells = explainer.layer.size if explainer.layer else ""
        figures = " | ".join(f"{value:.2f}" for value in np.percentile(values, [50, 95, 99, 100]))
        unchanged = f"{(values >= UNCHANGED_FROM).sum()} of {len(values)}"
        title = METHODS[name].title
        print(
            f"| {title} | {layer or ''} | {cells} | {explainer.networks} | {len(values)} | {figures} | {unchanged} |",
            flush=True,
        )


def rows(layers: list[str]) -> Iterator[tuple[str, str | None, int | None]]:
    """Method, layer and number of randomised networks; None takes what the command takes."""
    for name, method in METHODS.items():
        for layer in layers if method.uses_layer else [None]:
            yield name, layer, None
    yield "gradcam", layers[-1], 1


def correlations(explainer: Explainer, images: np.ndarray) -> np.ndarray:
    """Rank correlations of all maps that are not empty."""
    sanities = []
    for start in range(0, len(images), explainer.batch):
        print(f"{explainer.method.name} {start} of {len(images)}", end="\r", file=sys.stderr)
        found = explainer.explain(images[start : start + explainer.batch])
        sanities += [one.answer.sanity for one in found if not isinstance(one, str)]
    return np.array([sanity.rank_correlation for sanity in sanities if sanity is not None])


if __name__ == "__main__":
    main()
