"""The linear rule: k times the batch, k times the learning rate."""

from __future__ import annotations

from collections.abc import Callable

from skipline.training.recipe import Recipe


def with_scaled_rate(recipe: Recipe, say: Callable[[str, str], None]) -> Recipe:
    """Settle a rate that is given for another size of batch.

    Goyal et al. 2017 (1706.02677, section 2.1): a step over k times as many images replaces k steps, if its rate is k
    times as large. It holds after the first epochs (`schedule.warmup_epochs`), and up to 8,192 images of ImageNet.

    Args:
        recipe: with or without `optimizer.lr_batch`.
        say: told the new rate, as (topic, sentence).

    Returns:
        The recipe without `optimizer.lr_batch`.
    """
    given = recipe.optimizer
    if given.lr_batch is None:
        return recipe
    batch = recipe.batch_size * given.accumulate
    rate = given.lr * batch / given.lr_batch
    say(
        "rate",
        f"{rate:g} = {given.lr:g} x {batch} / {given.lr_batch}: the linear rule for batches of {batch}",
    )
    return recipe.model_copy(update={"optimizer": given.model_copy(update={"lr": rate, "lr_batch": None})})
