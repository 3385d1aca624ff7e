"""The rules, one row each. To add one, write a function from evidence to findings and add a row."""

from skipline.diagnosis.rules import blocks, gradients, images, learning, norms, rates
from skipline.diagnosis.rules.rule import CALIBRATED, Rule

# fmt: off
RULES: tuple[Rule, ...] = (
    Rule("shape mismatch", "error", "shapes of the two terms of an addition", "they differ",
         "an addition needs equal shapes", images.mismatch),
    Rule("vanishing gradient", "error", "fall of dL/dx and of gradient / weight over depth, at step 0 and later",
         f"{gradients.FALL:g} x, and below {gradients.FAINT:g} of the weight in the first third", CALIBRATED,
         gradients.vanishing),
    Rule("exploding gradient", "error", "rise of dL/dx towards the input at step 0 and later; norm of the gradient",
         f"{gradients.RISE:,.0f} x or norm {gradients.LARGE:,.0f} at step 0, and a tenth of it later; not finite",
         "calibrated; trainsight (norm)", gradients.exploding),
    Rule("not learning", "error", "loss of the trial's last steps; loss of 16 images alone",
         f"above {1 - learning.NO_PROGRESS:g} of guessing", "Karpathy's recipe", learning.not_learning),
    Rule("dead ReLU", "error", "share of a layer's units that are positive on < 1 % of samples and places",
         f"{gradients.DEAD_LAYER:.0%}", "SageMaker Debugger", gradients.dead),
    Rule("bad initialisation", "error", "weights / He's deviation; fade of activations over depth; first loss",
         f"outside {gradients.SMALL_WEIGHTS:g} ... {gradients.LARGE_WEIGHTS:g}; {gradients.FADE:g} x; "
         f"{gradients.FIRST_LOSS:g} x guessing", CALIBRATED, gradients.initialisation),
    Rule("softmaxed outputs", "error", "outputs that sum to 1, or are never negative", "all of them",
         "cross-entropy takes logits", learning.softmaxed),
    Rule("frozen layer", "warning", "layers that take no part in training while others do", "one",
         "every layer should learn", learning.frozen),
    Rule("BN pathology", "error", "loss in evaluation / in training mode with the weights at rest; images a batch",
         f"{norms.RATIO:g} x and {norms.GAP:g} nats; {norms.FEW} images and fewer; evaluation mode while training",
         "calibrated; Wu and He 2018", norms.batch_norm),
    Rule("rate too high", "error", "loss of the trial at 1/10 and 1/100 of the rate",
         f"better by {rates.BETTER:g} of guessing", CALIBRATED, rates.too_high),
    Rule("rate too low", "error", "loss of the trial at 10 and 100 times the rate",
         f"better by {rates.BETTER:g} of guessing", CALIBRATED, rates.too_low),
    Rule("stall", "warning", "fall of a loss that is high; share of the run below 1 % of the peak rate",
         f"{rates.STALLED:.1%} in ten steps; {rates.LOW_SHARE:.0%}", "SageMaker Debugger; calibrated", rates.stall),
    Rule("small batch noise", "warning", "gradient noise scale / batch size, of batches below "
         f"{rates.TOO_SMALL_A_BATCH}", f"{rates.NOISY:g}", "traintools", rates.small_batch),
    Rule("degradation", "error", "training accuracy against the residual twin's; layers in a chain without shortcuts",
         f"{learning.TWIN_GAP:.0%} below the twin; {learning.DEEP} layers", "He et al. 2015", learning.degradation),
    Rule("impeded shortcut", "warning", "||h(x) - x|| / ||x|| where the shape stays", f"{blocks.FIDELITY:g}",
         "calibrated; He et al. 2016", blocks.impeded),
    Rule("branch collapse", "error", "rho = std(F) / std(x) after the warm-up, and the cost of removing the block",
         f"below {blocks.RHO:g} without growing, cost below {blocks.COST:g} nats", CALIBRATED, blocks.collapse),
    Rule("overfitting", "warning", "loss and accuracy of held-out images against those trained on",
         f"{learning.ABSOLUTE_GAP:g} nats, {learning.GAP_LOSS:.0%} of the training loss and {learning.GAP_TOP1:.0%} of "
         "accuracy", "SageMaker Debugger; calibrated", learning.overfitting),
    Rule("label noise", "error", "labels that contradict a sure network; agreement among neighbours",
         f"{images.SURE_WRONG:.0%} of the surer half; agreement at chance", CALIBRATED, images.label_noise),
    Rule("duplicates", "error", "held-out images that equal or resemble a training image",
         f"one; an error from {images.LEAK:.0%}", "deepchecks", images.duplicates),
    Rule("class imbalance", "warning", "largest class / smallest class", f"{images.IMBALANCE:g}", CALIBRATED,
         images.imbalance),
    Rule("bad input scaling", "error", "mean and deviation per channel at the first layer",
         f"|mean| {images.MEAN:g}; deviation outside {images.LOW_STD:g} ... {images.HIGH_STD:g}", CALIBRATED,
         images.scaling),
)
# fmt: on

__all__ = ["RULES", "Rule"]
