"""A network for sounds is examined on sounds, and what would mislead there is not asked."""

from __future__ import annotations

from pathlib import Path

from skipline.bundle import save_bundle
from skipline.data import Audio, Preprocessing, silent
from skipline.diagnosis import examination
from skipline.diagnosis.patient import open_patient
from skipline.models import create

AUDIO = Audio(sample_rate=8_000, n_fft=256, window=256, hop=128, mels=16)


def test_a_bundle_for_sounds_opens_its_source_as_sounds(sounds: Path, tmp_path: Path) -> None:
    network = create("resnet20", classes=3, channels=1, seed=1)
    preprocessing = Preprocessing(1, 24, 16, (0.5,), (0.25,), AUDIO)
    save_bundle(tmp_path / "bundle", network, ("high", "low", "mid"), preprocessing, {}, {})
    patient = open_patient(tmp_path / "bundle", sounds)
    assert patient.preprocessing == preprocessing
    assert patient.dataset.audio == AUDIO
    evidence = examination._of_the_data(patient, silent)
    assert (
        evidence.missing["duplicates"]
        == "the images are windows of sounds, which overlap and resemble each other"
    )
