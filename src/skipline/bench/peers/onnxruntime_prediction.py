"""ONNX Runtime on the exported network, with all graph optimisations."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnxruntime
import torch

from .conversation import Conversation, arguments, installed
from .exported import export, largest_difference, trained_looking


def main() -> None:
    """Measure in turns."""
    wanted = arguments()
    torch.set_num_threads(wanted.threads)
    conversation = Conversation()
    network = trained_looking(wanted.network, wanted.classes, wanted.parameters)
    images = torch.randn(wanted.batch, 3, wanted.side, wanted.side)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = wanted.threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        path = export(network, images, Path(folder))
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {"images": images.numpy()}
    conversation.introduce(
        "ONNX Runtime: CPU, all graph optimisations",
        installed("onnxruntime", "onnx", "torch"),
        sum(p.numel() for p in network.parameters()),
        largest_difference_from_pytorch=largest_difference(network, images, session.run(None, feed)[0]),
    )
    conversation.serve(lambda: session.run(None, feed), wanted.batch, wanted.seconds)


if __name__ == "__main__":
    main()
