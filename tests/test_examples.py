"""The examples run, and do what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_train_and_predict(tmp_path: Path) -> None:
    main = runpy.run_path(str(EXAMPLES / "train_and_predict.py"))["main"]
    assert main(tmp_path, epochs=3) > 0.5


def test_watch_training(tmp_path: Path) -> None:
    main = runpy.run_path(str(EXAMPLES / "watch_training.py"))["main"]
    assert len(main(tmp_path, epochs=2)) == 2


def test_explain_digits(tmp_path: Path) -> None:
    main = runpy.run_path(str(EXAMPLES / "explain_digits.py"))["main"]
    found = main(tmp_path, epochs=3)
    assert len(found.answered) == 6
    assert all(len(answer.blocks) == 9 for _, answer in found.answered)
    assert found.page == tmp_path / "explanation" / "report.html"
    assert found.page.is_file()


def test_deep_plain_is_a_network_that_diagnose_takes() -> None:
    from skipline.diagnosis.patient import open_patient
    from skipline.diagnosis.verify import chain_length

    patient = open_patient(f"{EXAMPLES / 'deep_plain.py'}:build", "digits")
    assert chain_length(patient) == 41
