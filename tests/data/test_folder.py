from __future__ import annotations

import os
from pathlib import Path

import pytest

from skipline.data import image_files, open_source
from skipline.data.folder import Folder, spread
from skipline.errors import SourceError


def names(folder: Path) -> list[str]:
    return [entry.name for entry in Folder(folder, "photos/").listing().entries]


def test_links_to_files_and_folders_are_followed(tmp_path: Path, photos):
    folder = photos({"cat": 1, "dog": 1})
    elsewhere = photos({"bird": 2}, root="elsewhere")
    (folder / "cat" / "linked.png").symlink_to(elsewhere / "bird" / "0.png")
    (folder / "bird").symlink_to(elsewhere / "bird", target_is_directory=True)
    assert names(folder) == ["bird/0.png", "bird/1.png", "cat/0.png", "cat/linked.png", "dog/0.png"]


def test_loops_of_links_end(photos):
    folder = photos({"cat": 1, "dog": 1})
    (folder / "cat" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "cat" / "self.png").symlink_to(folder / "cat" / "self.png")
    listing = Folder(folder, "photos/").listing()
    assert [entry.name for entry in listing.entries] == ["cat/0.png", "dog/0.png"]
    assert {(p.file, p.reason) for p in listing.problems} == {
        ("cat/up", "a link to a folder that it lies in"),
        ("cat/self.png", "a link that leads nowhere"),
    }


def test_broken_link_is_a_problem_only_where_an_image_is_missed(photos):
    folder = photos({"cat": 1, "dog": 1})
    (folder / "cat" / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "cat" / "gone.txt").symlink_to(folder / "nowhere.txt")
    assert [p.file for p in Folder(folder, "photos/").listing().problems] == ["cat/gone.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_would_block_is_not_opened(photos):
    folder = photos({"cat": 1, "dog": 1})
    os.mkfifo(folder / "cat" / "pipe.jpg")
    assert names(folder) == ["cat/0.png", "dog/0.png"]


def test_manifest_changes_with_content_and_not_otherwise(photos):
    folder = photos({"cat": 2, "dog": 1})
    before = Folder(folder, "photos/").manifest()
    assert Folder(folder, "photos/").manifest() == before
    os.utime(folder / "cat" / "0.png", ns=(1, 1))
    touched = Folder(folder, "photos/").manifest()
    assert touched != before
    (folder / "cat" / "1.png").rename(folder / "cat" / "2.png")
    renamed = Folder(folder, "photos/").manifest()
    assert renamed != touched
    (folder / "empty").mkdir()
    assert Folder(folder, "photos/").manifest() != renamed


def test_nothing_in_the_users_folder_is_written(photos):
    folder = photos({"cat": 4, "dog": 4})
    (folder / "cat" / "broken.jpg").write_bytes(b"no image")

    def state() -> list[tuple[str, int, int, int]]:
        found = [folder, *sorted(folder.rglob("*"))]
        return [(str(p), p.stat().st_mtime_ns, p.stat().st_size, p.stat().st_mode) for p in found]

    before = state()
    for path in (folder / "cat", folder / "dog", folder):
        path.chmod(0o555)
    read_only = state()
    assert len(open_source(folder).train) > 0
    open_source(folder, seed=1)
    assert state() == read_only
    assert [entry[:3] for entry in read_only] == [entry[:3] for entry in before]
    for path in (folder, folder / "cat", folder / "dog"):
        path.chmod(0o755)


def test_image_files_searches_folders_and_takes_files_as_they_are(photos, tmp_path: Path):
    folder = photos({"dog": 1, "cat": 2})
    (folder / "cat" / "notes.txt").write_text("x")
    (folder / "cat" / ".hidden.png").write_bytes(b"")
    odd = tmp_path / "scan.data"
    odd.write_bytes(b"whatever")
    assert image_files([odd, folder, str(folder / "dog" / "0.png")]) == [
        odd,
        folder / "cat" / "0.png",
        folder / "cat" / "1.png",
        folder / "dog" / "0.png",
    ]


def test_image_files_names_what_is_missing(tmp_path: Path):
    with pytest.raises(SourceError, match=r"^no such file or folder: '.*nope\.jpg'$"):
        image_files([tmp_path / "nope.jpg"])


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(3, 5, [0, 1, 2]), (5, 5, [0, 1, 2, 3, 4]), (101, 3, [0, 50, 100]), (0, 4, [])],
)
def test_spread(length: int, count: int, expected: list[int]):
    assert spread(length, count) == expected
