"""Show where a network looks, and write what was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skipline.api.folders import free_folder, short_name
from skipline.bundle import Bundle, ImageInput, load_bundle
from skipline.data import Progress, silent
from skipline.data.values import pictures_only

if TYPE_CHECKING:
    from skipline.explanation import Explanation


def explain(
    target: Bundle | str | Path,
    images: ImageInput | Sequence[ImageInput],
    *,
    method: str = "gradcam",
    class_name: str | None = None,
    layer: str | None = None,
    blocks: bool = True,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> Explanation:
    """Explain a network's answers; write a picture of each map, explanation.json and report.html.

    Each map is compared with those of networks whose weights are drawn anew, and each residual block is removed in
    turn.

    Args:
        target: a bundle, or the folder of a bundle or run.
        images: what `Bundle.predict` takes.
        method: "gradcam", "gradcam++" or "occlusion".
        class_name: the class to explain; None takes each image's most probable one.
        layer: path of the module whose feature maps Grad-CAM uses; None finds the network's last stage.
        blocks: also remove each residual block in turn; costs a prediction a block and image.
        seed: of the randomised networks.
        out: where to write; None takes the next free runs/explanation-NAME-N. An earlier explanation is replaced.
        progress: shows long work.

    Returns:
        What was found. Images that cannot be read have an error, and the rest go on.

    Raises:
        InputError: no such bundle, method, class or layer, or a folder that holds other things.
    """
    from skipline.explanation import Explainer, write_explanation

    bundle = target if isinstance(target, Bundle) else load_bundle(target)
    explainer = Explainer(
        bundle.network,
        bundle.classes,
        pictures_only(bundle.preprocessing, "`skipline explain`"),
        method=method,
        class_name=class_name,
        layer=layer,
        blocks=blocks,
        seed=seed,
    )
    folder = Path(out) if out is not None else free_folder(f"explanation-{_name(target)}")
    return write_explanation(folder, bundle, explainer, images, progress)


def _name(target: Bundle | str | Path) -> str:
    """The run's name, since most bundles are called `bundle`."""
    if isinstance(target, Bundle):
        return target.name
    path = Path(target).resolve()
    return short_name(path.parent.name if path.name == "bundle" else path.name)
