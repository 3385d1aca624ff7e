"""What is taken for a set of shards, and what braces stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from skipline.data.shards.naming import expanded, holds_shards, split_of
from skipline.errors import SourceError

PATTERNS = {
    "a.tar": ["a.tar"],
    "t-{000..002}.tar": ["t-000.tar", "t-001.tar", "t-002.tar"],
    "t-{8..11}.tar": ["t-8.tar", "t-9.tar", "t-10.tar", "t-11.tar"],
    "t-{0..2}.tar": ["t-0.tar", "t-1.tar", "t-2.tar"],
    "t-{08..11}.tar": ["t-08.tar", "t-09.tar", "t-10.tar", "t-11.tar"],
    "{a,b}-{0..1}.tar": ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"],
    "{train-{0..1},test}.tar": ["train-0.tar", "train-1.tar", "test.tar"],
    "http://host/{x,y/{1,2}}.tar": ["http://host/x.tar", "http://host/y/1.tar", "http://host/y/2.tar"],
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_braces_count_and_choose_as_in_a_shell(pattern: str) -> None:
    assert expanded(pattern) == PATTERNS[pattern]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_braces_mean_what_they_mean_to_webdataset(pattern: str) -> None:
    braceexpand = pytest.importorskip("braceexpand", reason="the extra shards is not installed")
    assert expanded(pattern) == list(braceexpand.braceexpand(pattern))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("t-{0..2.tar", "'t-{0..2.tar' has a brace without its partner"),
        ("t-0..2}.tar", "'t-0..2}.tar' has a brace without its partner"),
        ("t-{5..2}.tar", "counts backwards from 5 to 2: expected {2..5}"),
        ("t-{0..99999999}.tar", "stands for more than 1,048,576 shards"),
        ("t-{0..2000}{0..2000}.tar", "stands for more than 1,048,576 shards"),
    ],
)
def test_other_braces_are_refused_in_words(pattern: str, message: str) -> None:
    with pytest.raises(SourceError) as refused:
        expanded(pattern)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-000000.tar", "train"),
        ("imagenet-val-03.tar", "validation"),
        ("val/000.tar", "validation"),
        ("Test_1.tar", "test"),
        ("trainer-0.tar", None),
        ("000.tar", None),
    ],
)
def test_words_in_a_name_say_the_split(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_a_folder_of_archives_is_a_set_of_shards(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.tar").write_bytes(b"x")
    (tmp_path / "split" / "train").mkdir(parents=True)
    (tmp_path / "split" / "train" / "a.tar").write_bytes(b"x")
    assert holds_shards(tmp_path / "flat")
    assert holds_shards(str(tmp_path / "split"))
    assert holds_shards("http://host/set")
    assert holds_shards(str(tmp_path / "t-{0..3}.tar"))


def test_photos_with_an_archive_beside_them_stay_photos(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"x")
    (tmp_path / "backup.tar").write_bytes(b"x")
    assert not holds_shards(tmp_path)
    assert not holds_shards(tmp_path / "backup.tar")  # a single archive is one of class folders
    assert not holds_shards(tmp_path / "nothing")
