"""OpenVINO on the exported network: one request after another with the latency hint, or several at once.

The latency hint for one image; for a batch whichever of the latency and the throughput hint is the faster here.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
import openvino.properties as properties
import openvino.properties.hint as hints
import torch

from .conversation import Conversation, arguments, installed
from .exported import export, largest_difference, trained_looking


class Way:
    """A way to run batches.

    Args:
        core: of OpenVINO.
        model: as it was read.
        mode: the performance hint.
        threads: for inference.
        images: of a batch, (N, 3, H, W).
    """

    def __init__(
        self, core: Any, model: Any, mode: Any, threads: int, images: npt.NDArray[np.float32]
    ) -> None:
        settings = {hints.performance_mode: mode, properties.inference_num_threads: threads}
        self.compiled = core.compile_model(model, "CPU", settings)
        self.name = mode.name.lower()
        self._images = images
        self._queue = openvino.AsyncInferQueue(self.compiled)
        self._request = self.compiled.create_infer_request()
        self.at_once = len(self._queue) if mode == hints.PerformanceMode.THROUGHPUT else 1

    def work(self) -> None:
        """As many batches as run at once."""
        if self.at_once == 1:
            self._request.infer([self._images], share_inputs=True)
            return
        for _ in range(self.at_once):
            self._queue.start_async([self._images], share_inputs=True)
        self._queue.wait_all()

    def seconds(self) -> float:
        """Of a batch: the fastest of three, after one that warms up."""
        self.work()
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            self.work()
            taken.append(time.perf_counter() - start)
        return min(taken) / self.at_once


def main() -> None:
    """Measure in turns."""
    wanted = arguments()
    torch.set_num_threads(wanted.threads)
    conversation = Conversation()
    network = trained_looking(wanted.network, wanted.classes, wanted.parameters)
    images = torch.randn(wanted.batch, 3, wanted.side, wanted.side)
    modes = [hints.PerformanceMode.LATENCY]
    if wanted.batch > 1:
        modes.append(hints.PerformanceMode.THROUGHPUT)
    core = openvino.Core()
    with tempfile.TemporaryDirectory() as folder:
        model = core.read_model(str(export(network, images, Path(folder))))
        ways = [Way(core, model, mode, wanted.threads, images.numpy()) for mode in modes]
    way = min(ways, key=Way.seconds)
    conversation.introduce(
        f"OpenVINO: CPU, {way.name} hint",
        installed("openvino", "onnx", "torch"),
        sum(p.numel() for p in network.parameters()),
        largest_difference_from_pytorch=largest_difference(
            network, images, way.compiled([images.numpy()])[0]
        ),
        batches_at_once=way.at_once,
    )
    conversation.serve(way.work, wanted.batch * way.at_once, wanted.seconds)


if __name__ == "__main__":
    main()
