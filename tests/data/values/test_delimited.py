"""CSV and TSV: labels first or in a named column, and what is said of anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skipline.data import open_source
from skipline.data.values import delimited
from skipline.data.values.delimited import read_delimited
from skipline.errors import InputError, SourceError

FORM = (
    "expected one series a line with the label first (1,0.3,0.5,...), or a header with a column called label, class or "
    "target"
)


@pytest.fixture
def csv(tmp_path: Path):
    def write(text: str | bytes, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refusal(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(path)
    return str(caught.value).replace(f"{path.parent}/", "")


EXPECTED = np.array([[1, 2, 3], [4, 5, 6.5]], np.float32)


@pytest.mark.parametrize(
    "text",
    [
        "a,1,2,3\nb,4,5,6.5\n",
        "a;1;2;3\r\nb;4;5;6.5",
        "a\t1\t2\t3\nb\t4\t5\t6.5\n",
        "a, 1, 2, 3\n\n  b, 4, 5, 6.5\n",
        "\ufeffa,1,2,3\nb,4,5,6.5\n",
        "label,0,1,2\na,1,2,3\nb,4,5,6.5\n",
        "t0,t1,t2,Class\n1,2,3,a\n4,5,6.5,b\n",
        ',first,"second",third,target\n0,1,2,3,a\n1,4,5,6.5,b\n',
        "a,1e0,2.0e+00,+3\nb,4,5,6.5\n",
    ],
)
def test_forms_of_the_same_table(csv, text: str):
    rows = read_delimited(csv(text), "data.csv")
    np.testing.assert_array_equal(rows.values, EXPECTED)
    assert rows.values.dtype == np.float32
    assert [str(label).strip() for label in rows.labels] == ["a", "b"]


def test_beside_a_label_y_is_a_coordinate(csv):
    rows = read_delimited(csv("x,y,label\n1,2,a\n3,4,b\n"), "data.csv")
    assert (rows.values.tolist(), rows.labels.tolist()) == ([[1, 2], [3, 4]], ["a", "b"])
    rows = read_delimited(csv("x,z,y\n1,2,a\n3,4,b\n"), "data.csv")
    assert (rows.values.tolist(), rows.labels.tolist()) == ([[1, 2], [3, 4]], ["a", "b"])


def test_the_files_of_the_ucr_archive(csv):
    csv("1\t0.1\t0.2\n2\t0.3\t0.4\n1\t0.5\t0.6\n", "Two_TRAIN.tsv")
    csv("2\t0.7\t0.8\n", "Two_TEST.tsv")
    dataset = open_source(csv("1\t0.1\t0.2\n2\t0.3\t0.4\n1\t0.5\t0.6\n", "Two_TRAIN.tsv"))
    assert (len(dataset.train), len(dataset.test), dataset.classes) == (3, 1, ("1", "2"))
    np.testing.assert_allclose(dataset.test.images.ravel(), [0.7, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"'data.csv' holds no series; {FORM}"),
        ("label,a,b\n", f"'data.csv' holds no series; {FORM}"),
        ("1\n2\n", f"'data.csv' has a single column; {FORM}"),
        ("a,1,2\nb,3\n", "line 2 of 'data.csv' has 2 columns, the first one has 3: series need one length; cut or pad "
            "them, or resample"),
        ("a,1,2\nb,3,x\n", f"line 2 of 'data.csv', column 3: expected a number, got 'x'; {FORM}"),
        ("file,label\na.jpg,cat\n", f"line 2 of 'data.csv', column 1: expected a number, got 'a.jpg'; {FORM}"),
        ("t0,t1\n1,2\n", f"'data.csv' has a header without a label column; {FORM}"),
        ("t0,class,label\n1,2,3\n", f"'data.csv' has the label columns 'class' and 'label'; {FORM}"),
        ("a,1,2\nb,,3\na,1,2\n", "line 2 of 'data.csv' holds NaN at position 0: fill the gaps, for instance by "
            "interpolation, or leave such rows out"),
        ("a,1,2\nb,3,nan\na,inf,2\n", "line 2 of 'data.csv' holds NaN at position 1; 2 of 3 rows are so, also line 3: "
            "fill the gaps, for instance by interpolation, or leave such rows out"),
        ("a,1,2\n,3,4\n", "line 2 of 'data.csv' has no label: expected a class; leave such rows out"),
        ("a,1,1e300\nb,3,4\n", "line 1 of 'data.csv' holds an infinity, or a number beyond 3.4e38 at position 1: fill "
            "the gaps, for instance by interpolation, or leave such rows out"),
        (b"a,1,\xff\xfe\n", "'data.csv' is no text in UTF-8: save it as CSV, in UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_series(csv, text: str | bytes, message: str):
    assert refusal(csv(text)) == message


def test_a_million_columns(csv):
    assert refusal(csv("a," + ",".join(["1"] * 1_000_000) + "\n")) == (
        "'data.csv' has 1,000,001 columns, more than 100,000: save it as .npy"
    )


def test_a_line_without_end(csv, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(delimited, "LONGEST_LINE", 1000)
    assert refusal(csv("a," + "1" * 5000)) == (
        "'data.csv' has a line of more than 1,000 characters: save it as .npy"
    )


def test_a_quote_that_never_ends(csv):
    message = refusal(csv('a,1,2\n"b,3,4\n' + "a,1,2\n" * 50_000))
    assert message.startswith("'data.csv' is no table: 'field larger than field limit")


def test_a_table_too_large_for_this_machine(csv, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("skipline.data.values.reading.available_bytes", lambda: 30)
    assert refusal(csv("a,1,2\nb,3,4\n")) == (
        "'data.csv' needs 0.0 GiB of memory, 0.0 GiB are free: take fewer rows"
    )


def test_lines_without_labels_where_the_length_is_known(csv):
    for text in (
        "1,2,3\n4,5,6.5\n",
        "x,1,2,3\ny,4,5,6.5\n",
        "a,b,c\n1,2,3\n4,5,6.5\n",
        "a,b,c,label\n1,2,3,x\n4,5,6.5,y\n",
    ):
        rows = read_delimited(csv(text), "data.csv", values=3)
        np.testing.assert_array_equal(rows.values, EXPECTED)


def test_a_folder_that_is_called_like_a_table(tmp_path: Path):
    (tmp_path / "photos.csv").mkdir()
    with pytest.raises(InputError, match="no images"):
        open_source(tmp_path / "photos.csv")
