"""Keras' model.fit on TensorFlow, compiled as Keras does by default: turns are measured inside one `fit`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .conversation import Conversation, TurnsInsideTraining, arguments, installed
from .keras_networks import build, count_parameters

ENDLESS = 10**9  # steps


class Measured(keras.callbacks.Callback):  # type: ignore[misc]  # mypy does not see keras
    """Hands every step to the turns."""

    def __init__(self, turns: TurnsInsideTraining) -> None:
        super().__init__()
        self._turns = turns

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a step."""
        self._turns.before_step()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a step."""
        self._turns.after_step()


def main() -> None:
    """Measure in turns."""
    wanted = arguments()
    tf.config.threading.set_intra_op_parallelism_threads(wanted.threads)
    tf.config.threading.set_inter_op_parallelism_threads(wanted.threads)
    conversation = Conversation()
    network = build(wanted.network, wanted.side, wanted.classes, wanted.parameters)
    network.compile(
        optimizer=keras.optimizers.SGD(learning_rate=0.1, momentum=0.9, weight_decay=5e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    generator = np.random.default_rng(0)
    images = generator.standard_normal((wanted.batch, wanted.side, wanted.side, 3), dtype=np.float32)
    targets = generator.integers(0, wanted.classes, wanted.batch)
    batches = tf.data.Dataset.from_tensors((images, targets)).repeat()
    conversation.introduce(
        f"Keras: model.fit, fp32, jit {'on' if network.jit_compile else 'off'}",
        {**installed("keras"), "tensorflow": tf.__version__},
        count_parameters(network),
    )
    turns = TurnsInsideTraining(conversation, wanted.batch, wanted.seconds)
    network.fit(batches, steps_per_epoch=ENDLESS, verbose=0, callbacks=[Measured(turns)])


if __name__ == "__main__":
    main()
