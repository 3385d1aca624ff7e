"""The linear rule."""

from __future__ import annotations

from skipline.training import Recipe, changed
from skipline.training.rate_rule import with_scaled_rate


def test_twice_the_batch_twice_the_rate() -> None:
    said: list[tuple[str, str]] = []
    recipe = changed(
        Recipe(), ["batch_size=256", "optimizer.accumulate=2", "optimizer.lr=0.1", "optimizer.lr_batch=128"]
    )
    settled = with_scaled_rate(recipe, lambda *line: said.append(line))
    assert settled.optimizer.lr == 0.4
    assert settled.optimizer.lr_batch is None, "a run that goes on must not scale again"
    assert said == [("rate", "0.4 = 0.1 x 512 / 128: the linear rule for batches of 512")]


def test_without_the_key_the_rate_stays() -> None:
    recipe = Recipe()
    assert with_scaled_rate(recipe, lambda *line: None) is recipe
