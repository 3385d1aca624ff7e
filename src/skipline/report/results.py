"""The sections on how good the network is: classes, confusions, calibration, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from skipline.data.kinds import Kind
from skipline.report.charts import HEAT_LIMIT, confusion
from skipline.report.markup import Markup, joined, tag
from skipline.report.numbers import exact, number, percent
from skipline.report.page import Cell, chart, details, paragraphs, section, table
from skipline.report.pictures import picture
from skipline.report.record import ClassScore, Evaluation, Measurement, Mistake
from skipline.report.sounds import drawing, player

SHOWN_CLASSES = 12  # further ones are folded away
MOST_CLASSES = 1000
MOST_PAIRS = 200
POSTER_FROM = 40  # classes from which the labels of a heat map need the whole width
GRID_LIMIT = 30  # classes up to which the matrix is also given as a table of counts
PICTURE_BUDGET = 600_000  # bytes of all mistakes' pictures together; plotly.js takes 4.8 of the page's 6 MB


def results_sections(folder: Path, evaluation: Evaluation, kind: Kind) -> list[Markup | None]:
    """Every section on the result; None where a section has nothing to say.

    Args:
        folder: the run folder, below which pictures lie.
        evaluation: the final measurement.
        kind: of what was classified.
    """
    test = evaluation.test
    return [
        classes_section(test, kind),
        confusion_section(test, kind),
        calibration_section(test, kind),
        mistakes_section(folder, evaluation.mistakes, kind),
    ]


def classes_section(test: Measurement, kind: Kind) -> Markup | None:
    """Recall and precision of each class, the worst first; None where there are none."""
    if not test.classes:
        return None
    worst = sorted(test.classes, key=lambda score: (score.recall is None, score.recall, score.n))
    texts = [
        f"Recall is the share of a class's {kind.many} that were recognised; precision the share of right "
        f"answers among the {kind.many} that were given this class. The class with the lowest recall comes "
        f"first. A figure from few {kind.many} is uncertain."
    ]
    shown = worst if len(worst) <= SHOWN_CLASSES + 3 else worst[:SHOWN_CLASSES]
    blocks = [_class_table(shown, "Recall and precision by class", kind)]
    if rest := worst[len(shown) : MOST_CLASSES]:
        left_out = len(worst) - len(shown) - len(rest)
        caption = "The other classes" + (
            f"; {left_out:,} with higher recall are left out" if left_out else ""
        )
        blocks.append(
            details(f"The other {len(worst) - len(shown):,} classes", _class_table(rest, caption, kind))
        )
    return section("Class by class", paragraphs(texts), *blocks, name="classes")


def _class_table(scores: Sequence[ClassScore], caption: str, kind: Kind) -> Markup:
    rows: list[Sequence[Cell]] = [
        [
            score.name,
            f"{score.n:,}",
            exact(score.recall, percent(score.recall)),
            exact(score.precision, percent(score.precision)),
        ]
        for score in scores
    ]
    return table(caption, ["Class", f"Test {kind.many}", "Recall", "Precision"], rows)


def confusion_section(test: Measurement, kind: Kind) -> Markup | None:
    """What is taken for what: a heat map where it can be read, and the most frequent confusions."""
    if not test.confusion:
        return None
    names = [score.name for score in test.classes]
    pairs = _pairs(test)
    top = pairs[:10]
    blocks = []
    if len(names) <= HEAT_LIMIT:
        blocks.append(_heat_map(test, names, pairs, kind))
    if top:
        note = "" if len(names) <= HEAT_LIMIT else f" A heat map of {len(names):,} classes could not be read."
        blocks.append(_pair_table(top, f"The most frequent confusions.{note}", kind))
    if len(names) > HEAT_LIMIT and len(pairs) > len(top):
        blocks.append(
            details("More confusions", _pair_table(pairs[:MOST_PAIRS], "The most frequent confusions", kind))
        )
    if not top:
        blocks.append(tag("p", f"No test {kind.one} was confused."))
    return section("What is taken for what", *blocks, name="confusions")


Pair = tuple[int, int, str, str]  # count, count of the true class, true name, predicted name


def _pairs(test: Measurement) -> list[Pair]:
    found = [
        (count, sum(row), test.classes[true].name, test.classes[predicted].name)
        for true, row in enumerate(test.confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))


def _pair_table(pairs: Sequence[Pair], caption: str, kind: Kind) -> Markup:
    rows = [
        [true, predicted, f"{count:,}", percent(count / total)] for count, total, true, predicted in pairs
    ]
    return table(caption, ["True class", "Taken for", kind.many.title(), "Of the true class"], rows, texts=2)


def _heat_map(test: Measurement, names: Sequence[str], pairs: Sequence[Pair], kind: Kind) -> Markup:
    wrong = sum(pair[0] for pair in pairs)
    explanation = [
        f"Each row holds the test {kind.many} of one true class, spread over the classes they were given. The strength "
        "of the colour is the square root of the share of the row, so that rare confusions show.",
        "Healthy: a strong diagonal and nothing regular beside it. A strong cell off the diagonal is a pair that "
        "the network mixes up; a strong column is a class that it answers too often.",
    ]
    summary = (
        f"Confusion matrix of {len(names)} classes: {test.n - wrong:,} of {kind.counted(test.n)} on the "
        "diagonal."
    )
    if len(names) <= GRID_LIMIT:
        rows = [[name, *(f"{n:,}" for n in row)] for name, row in zip(names, test.confusion, strict=True)]
        numbers = table(
            f"{kind.many.title()}; rows are true classes, columns predicted ones", ["", *names], rows
        )
    else:
        left_out = f"; the {MOST_PAIRS} most frequent of {len(pairs):,}" if len(pairs) > MOST_PAIRS else ""
        numbers = _pair_table(pairs[:MOST_PAIRS], f"All confusions{left_out}", kind)
    shape: Literal["square", "poster"] = "square" if len(names) < POSTER_FROM else "poster"
    figure = confusion(test.confusion, names, summary=summary)
    return chart("Confusion matrix", figure, explanation, numbers, name="confusion", shape=shape)


def calibration_section(test: Measurement, kind: Kind) -> Markup | None:
    """The calibration error with its meaning; None where it was not measured."""
    if test.ece is None:
        return None
    figure = tag(
        "p",
        "Expected calibration error: ",
        tag("strong", exact(test.ece, number(test.ece, 2))),
        f" (0 is perfect). On average over the test {kind.many}, the stated probability and the share that was "
        f"right differ by {100 * test.ece:.1f} percentage points.",
    )
    text = (
        f"The test {kind.many} are sorted into 15 bins by the probability of the predicted class; in each bin "
        "the mean probability is compared with the share that was right, and the distances are averaged, "
        f"weighted by the number of {kind.many} (Guo et al. 2017). It does not say whether the network is too "
        f"sure or too unsure, and with few test {kind.many} chance alone keeps it above zero."
    )
    return section("Can its probabilities be believed?", figure, tag("p", text), name="calibration")


def mistakes_section(folder: Path, mistakes: Sequence[Mistake], kind: Kind) -> Markup | None:
    """The surest mistakes with their pictures; None where there are none.

    Args:
        folder: the run folder, below which the pictures lie.
        mistakes: the surest first.
        kind: of what was classified.
    """
    if not mistakes:
        return None
    shown, spent = [], 0
    for mistake in mistakes:
        figure = _mistake(folder, mistake)
        if spent + len(figure) > PICTURE_BUDGET:
            break
        spent += len(figure)
        shown.append(figure)
    left_out = len(mistakes) - len(shown)
    ranges = {mistake.spectrogram.top_db for mistake in mistakes if mistake.spectrogram is not None}
    texts = [
        f"Test {kind.many} that the network got wrong while most sure of itself, the surest first, with the "
        f"probability that it gave to its answer and to the true class. Such {kind.many} often show a wrong "
        "label, two classes at once, or a look that training lacked."
        if not ranges
        else "Test sounds that the network got wrong while most sure of itself, the surest first, with the "
        "probability that it gave, over all windows of the file, to its answer and to the true class. Shown and to be "
        "heard is the window that misled it most. In the pictures white is the loudest moment of the file, black lies "
        f"{max(ranges):g} dB or more below it, and the grey between them is linear in dB."
    ]
    texts += (
        [f"To keep this page small, {left_out:,} more are left in the run's folder mistakes/."]
        if left_out
        else []
    )
    return section(
        "Its surest mistakes",
        paragraphs(texts),
        tag("div", *shown, class_="gallery sounds" if ranges else "gallery"),
        name="mistakes",
    )


def _mistake(folder: Path, mistake: Mistake) -> Markup:
    found = picture(folder, mistake.image)
    text = f"{mistake.true}, taken for {mistake.predicted}"
    if found is None:
        image = tag("p", f"The picture {mistake.image} is missing.", class_="quiet")
    elif mistake.spectrogram is not None:
        image = drawing(found, mistake.spectrogram, f"Spectrogram: {text}")
        if mistake.sound is not None:
            image = joined([image, player(folder, mistake.sound, text) or Markup()])
    else:
        image = tag(
            "img",
            src=found.uri,
            alt=f"Test image {mistake.index}: {text}",
            width=str(found.width),
            height=str(found.height),
            class_="tiny" if found.tiny else None,
        )
    caption = tag(
        "figcaption",
        "taken for ",
        tag("strong", mistake.predicted),
        f" ({percent(mistake.probability)}), is ",
        tag("strong", mistake.true),
        f" ({percent(mistake.true_probability)})" if mistake.true_probability is not None else "",
        tag("span", mistake.file or f"test image {mistake.index}", class_="file"),
    )
    return tag("figure", image, caption, class_="mistake")
