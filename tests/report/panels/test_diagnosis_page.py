"""The page of a diagnosis, and the section on the inside of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from skipline.errors import InputError
from skipline.report.diagnosis import diagnosis_page, write_diagnosis_report
from skipline.report.diagnosis_record import VerdictRecord, read_diagnosis
from skipline.report.inside import inside_section
from skipline.report.reading import read_run
from skipline.report.verdicts import effects_figure, sentence

LIMIT = 6_000_000
HOSTILE = "<img src=x onerror=alert(1)>"


def _page(parsed: Any, folder: Path) -> Any:
    with mock.patch("plotly.offline.get_plotlyjs", return_value="0"):  # 4.8 MB that no test here reads
        return parsed(diagnosis_page(read_diagnosis(folder), folder))


def test_findings_come_with_number_threshold_source_and_remedy(made: Any, parsed: Any) -> None:
    page = _page(parsed, made.diagnosis())
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == ["findings", "verdicts", "checks", "inside", "machine"]
    classes = [attributes["class"] for attributes in page.all("article")]
    assert classes == ["finding error", "finding warning", "finding note"]
    for told in (
        "Vanishing gradient: the gradient of the weights falls 288-fold from the last layer to the first.",
        "Confirmed by test: shortcuts.",
        "body.0.conv ... body.11.conv",
        "calibrated (docs/diagnosis.md)",
        "batch normalisation, or shortcuts around pairs of layers",
        "dead ReLU, leak / duplicates, bad input scaling",
        "overfitting: there is no validation split",
    ):
        assert told in page.text
    values = {attributes["value"] for attributes in page.all("data")}
    assert {"288.4", "30.0", "2.302"} <= values


def test_verdicts_in_words(made: Any, parsed: Any) -> None:
    page = _page(parsed, made.diagnosis())
    verdicts = page.tables[0]
    assert verdicts[1][0] == "✓ confirmed"
    assert verdicts[1][2] == (
        "With shortcuts, training accuracy after 400 steps is 41.2 points higher [38.0, 44.4], 3 seeds; the sham "
        "moves it by 0.4 points [-2.0, 2.8]."
    )
    assert verdicts[2][0] == "? inconclusive"
    assert verdicts[1][4] == "3 min 32 s"
    numbers = page.tables[1]
    assert numbers[0] == ["Remedy", "Arm", "Effect", "95 % interval", "Best rate", "Results by seed"]
    assert ["shortcuts", "treated", "41.2 points", "[38.0, 44.4]", "0.1", "0.530, 0.520, 0.510"] in numbers
    assert ["shortcuts", "patient", "", "", "0.01", "0.110, 0.100, 0.120"] in numbers


def test_verdicts_as_error_bars(made: Any, valid: Any) -> None:
    verdicts = read_diagnosis(made.diagnosis()).verdicts
    figure = effects_figure(verdicts, verdicts[0].measure)
    treated, sham = valid({"data": figure.data, "layout": figure.layout}).data
    assert treated.x == (41.2, 1)
    assert treated.error_x.array == pytest.approx((3.2, 4))
    assert treated.error_x.arrayminus == pytest.approx((3.2, 4))
    assert sham.x == pytest.approx((0.4, 0.4))
    assert sham.marker.symbol == "diamond-open"


def test_an_effect_on_a_loss_is_no_percentage() -> None:
    values = {"remedy": "clip", "measure": "loss, nats", "effect": -0.5, "interval": [-0.7, -0.3]}
    values |= {"outcome": "refuted", "seeds": 1, "seconds": 3.0, "sham": None, "sham_interval": [None, None]}
    assert sentence(VerdictRecord.model_validate(values)) == (
        "With clip, the result is 0.500 lower [-0.700, -0.300], 1 seed (loss, nats; positive is better)."
    )


def test_a_healthy_network_is_told_so(made: Any, parsed: Any) -> None:
    folder = made.diagnosis(findings=[], verdicts=[], readings=[], not_run=[], machine={})
    page = _page(parsed, folder)
    assert "Nothing was found: all 3 checks that ran are fine." in page.text
    assert [attributes["id"] for attributes in page.all("section")] == ["checks", "machine"]


def test_readings_stand_in_the_order_of_steps(made: Any) -> None:
    folder = made.diagnosis(readings=[made.reading(9, 2), made.reading(0, 2)])
    assert [reading.step for reading in read_diagnosis(folder).readings] == [0, 9]


def test_hostile_names_are_escaped_and_a_deep_network_fits(made: Any, parsed: Any) -> None:
    readings = [made.reading(step, 110, slope=0.02) for step in range(0, 600, 20)]
    readings[0]["layers"][0]["name"] = HOSTILE
    folder = made.diagnosis(readings=readings, target=HOSTILE, fine=[HOSTILE])
    file = write_diagnosis_report(folder)
    assert file.stat().st_size < LIMIT
    page = parsed(file.read_text(encoding="utf-8"))
    assert all("onerror" not in attributes for _, attributes in page.elements)
    assert HOSTILE in page.text


def test_a_folder_without_a_diagnosis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a file diagnosis\.json"):
        write_diagnosis_report(tmp_path)
    (tmp_path / "diagnosis.json").write_text("[]")
    with pytest.raises(InputError, match="cannot be read as a diagnosis"):
        write_diagnosis_report(tmp_path)


def _with_probes(runs: Any, made: Any, *steps: int, after: list[dict[str, Any]] | None = None) -> Path:
    folder = runs.make(epochs=2)
    events = runs.events(folder)
    probes = [{"kind": "probe", "time": 0.0, "reading": made.reading(step, 4)} for step in steps]
    runs.rewrite(folder, [*events[:-1], *probes, *(after or []), events[-1]])
    return folder


def test_a_run_shows_what_happened_inside_and_what_it_cost(runs: Any, made: Any, parsed: Any) -> None:
    cost = {"kind": "probe-overhead", "time": 0.0, "seconds": 0.31, "share": 0.0213}
    section = inside_section(read_run(_with_probes(runs, made, 0, 20, 40, after=[cost])))
    assert section is not None
    page = parsed(section)
    assert "What happened inside" in page.text
    assert "3 times, from step 0 to step 40, each time at the same batch of 32 images" in page.text
    assert "Measuring took 0.3 s, 2.1 % of the training time." in page.text
    assert {"0.31", "0.0213"} == {attributes["value"] for attributes in page.all("data")}
    assert len(page.all("input")) == 7


def test_the_cost_of_sessions_adds_up(runs: Any, made: Any, parsed: Any) -> None:
    costs = [
        {"kind": "probe-overhead", "time": 0.0, "seconds": 1.0, "share": 0.01, "skipped": 2},
        {"kind": "probe-overhead", "time": 0.0, "seconds": 3.0, "share": 0.03, "skipped": 0},
    ]
    page = parsed(inside_section(read_run(_with_probes(runs, made, 0, after=costs))))
    assert "Measuring took 4.0 s, 2.0 % of the training time; 2 more readings were left out" in page.text
    assert "once, at step 0, at one batch of 32 images" in page.text


def test_probes_that_gave_up_say_so(runs: Any, made: Any, parsed: Any) -> None:
    failure = [{"kind": "probe-failed", "time": 0.0, "step": 0, "reason": "no layer <b> runs"}]
    page = parsed(inside_section(read_run(_with_probes(runs, made, after=failure))))
    assert "The probes could not measure this network, at step 0: no layer <b> runs." in page.text


def test_a_run_without_probes_has_no_such_section(runs: Any) -> None:
    assert inside_section(read_run(runs.make(epochs=1))) is None


def test_readings_after_the_checkpoint_are_forgotten_and_bad_ones_counted(runs: Any, made: Any) -> None:
    again = [
        {"kind": "resume", "time": 0.0, "step": 22},
        {"kind": "probe", "time": 0.0, "reading": made.reading(30, 2)},
        {"kind": "probe", "time": 0.0, "reading": {"step": "x"}},
    ]
    run = read_run(_with_probes(runs, made, 0, 20, 40, after=again))
    assert [(probe.step, len(probe.layers)) for probe in run.probes] == [(0, 12), (20, 12), (30, 6)]
    assert run.unreadable == ("Lines of events.jsonl that could not be read and were left out: 1.",)


def test_the_fields_of_a_reading_are_those_that_the_probes_write(made: Any) -> None:
    from skipline.diagnosis.probes.reading import Reading
    from skipline.report.probe_record import BlockProbe, LayerProbe, NormProbe, Probe

    reading = Reading.from_json(made.reading(50, 2))
    record = Probe.model_validate(json.loads(json.dumps(reading.to_json())))
    assert record.model_dump(mode="json") == json.loads(json.dumps(reading.to_json()))
    for ours, theirs in (
        (LayerProbe, reading.layers[0]),
        (NormProbe, reading.norms[0]),
        (BlockProbe, reading.blocks[0]),
    ):
        assert set(ours.model_fields) == set(vars(theirs))
