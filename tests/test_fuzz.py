"""Damaged files of every kind end in a result or in an error of ours, in bounded memory, and write nowhere else."""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(
    0, str(Path(__file__).parent)
)  # pytest's importlib mode leaves helpers beside tests unfindable

import fuzz_targets
from fuzz_targets import KINDS, TARGETS, TOKENS, Target, damaged
from skipline.errors import SkiplineError

EXAMPLES = 60
MOST_GROWTH = 400 * 2**20  # bytes of the process's peak, over all examples of one parser

edits = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 64),
        st.sampled_from(TOKENS),
    ),
    min_size=1,
    max_size=4,
)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_valid_files_are_read(target: Target, tmp_path: Path) -> None:
    for seed in target.seeds():
        found = target.parse(seed, tmp_path)
        if target.show is not None:
            target.show(found)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damaged_files_end_in_a_result_or_an_error_of_ours(target: Target, tmp_path: Path) -> None:
    seeds = target.seeds()
    inside = tmp_path / "inside"
    inside.mkdir()
    before = tree(tmp_path)
    for seed in seeds:
        target.parse(seed, inside)  # what is loaded once is no growth
    peak = peak_bytes()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(seeds), edits)
    def run(seed: bytes, changes: list[fuzz_targets.Edit]) -> None:
        with tempfile.TemporaryDirectory(dir=inside) as folder:
            message = "read"
            try:
                found = target.parse(damaged(seed, changes), Path(folder))
                if target.show is not None:
                    target.show(found)
            except SkiplineError as error:
                message = str(error)
            assert 0 < len(message) < 10_000

    run()
    assert peak_bytes() - peak < MOST_GROWTH
    written = {path for path in tree(tmp_path) - before if not path.startswith(("inside", "home"))}
    assert not written
