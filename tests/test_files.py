"""Outputs are written whole or not at all; CSV files of anybody are checked cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from medsegdist.errors import DataError
from medsegdist.files import MAX_TEXT_BYTES, atomic_path, atomic_write, read_csv, read_text


@dataclass(frozen=True)
class Row:
    source: str
    distance: float
    low: float | None
    tied: bool
    note: str = ""


GOOD = "source,distance,low,tied,extra\nliver,1.5,,True,x\n\n lung ,2,1.25,false,\n"


def test_what_was_there_stays_until_the_new_content_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as file:
        file.write("first\r\n")
    with pytest.raises(TypeError), atomic_write(path) as file:
        file.writelines(["half", 1])
    assert path.read_bytes() == b"first\r\n"
    assert [one.name for one in path.parent.iterdir()] == ["a.txt"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def write(fail):
        with atomic_path(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / "file").write_text("x")
            if fail:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write(fail=True)
    assert list(tmp_path.iterdir()) == []
    write(fail=False)
    assert (tmp_path / "folder" / "file").read_text() == "x"


def test_rows_become_dataclasses(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read_csv(path, Row, key=["source"]) == [Row("liver", 1.5, None, True), Row("lung", 2.0, 1.25, False)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected a CSV file, found an empty file; run it again"),
        ("source,distance,low\n", r"expected the columns tied; found 'source', 'distance', 'low'; run it again"),
        ("source,source\n", "expected every column once, found twice: source"),
        (GOOD.split("\n")[0] + "\n", "expected at least one row under the header, found none; run it again"),
        (GOOD + "spleen,3\n", "line 5: expected 5 cells, as in the header, found 2; put text with commas"),
        (GOOD + "spleen,far,,True,\n", r"line 5, column 'distance': expected a valid number.*, found 'far'; correct"),
        (GOOD + "spleen,nan,,True,\n", r"line 5, column 'distance': expected a finite number, found 'nan'; correct"),
        (GOOD + "spleen,,,True,\n", "line 5, column 'distance': expected a valid number, found an empty cell"),
        (GOOD + ",1,,True,\n", "line 5, column 'source': expected a valid string, found an empty cell"),
        (GOOD + "liver,1,,True,\n", "expected one row for each source, found two for liver: lines 2 and 5; remove one"),
        ('source,distance,low,tied\n"liver,1,,True\n', "expected a CSV file in UTF-8, found something else"),
        ("source,distance,low,tied\n\xff,1,,True\n".encode("latin-1"), "expected a CSV file in UTF-8, found something"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line_and_column(tmp_path, content, said):
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=said) as error:
        read_csv(path, Row, key=["source"], remedy="run it again")
    assert str(error.value).startswith(str(path))


def test_only_regular_files_of_bounded_size_are_read(tmp_path):
    with pytest.raises(DataError, match="expected a file, found a folder"):
        read_text(tmp_path)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(MAX_TEXT_BYTES + 1)  # sparse
    with pytest.raises(DataError, match=rf"expected at most {MAX_TEXT_BYTES} bytes of text, found"):
        read_text(large)
