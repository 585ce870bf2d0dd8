"""Outputs are written whole or not at all; CSV and YAML files of anybody are checked."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from medsegdist.data.validation import MAX_YAML_BYTES, read_yaml
from medsegdist.errors import DataError, ManifestError
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


def test_yaml_is_plain_values_and_may_use_aliases(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {b: [1, 2.5, yes]}\nc: *a\nd: [*a, *a]\n")
    value = {"b": [1, 2.5, True]}
    assert read_yaml(path) == {"a": value, "c": value, "d": [value, value]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": expected a mapping of keys to values, found an empty file"),
        ("- a\n- b\n", r": expected a mapping of keys to values, found .\['a', 'b'\]"),
        ("just words", ": expected a mapping of keys to values, found 'just words'"),
        ("a: 1\na: 2", ", line 2, column 1: not valid YAML: the key 'a' is given twice"),
        ("a: {b: 1, c: 2, b: 3}", ", line 1, column 17: not valid YAML: the key 'b' is given twice"),
        ("a: &a {x: 1}\nb: {<<: *a}\n", ", line 2, column 5: .*merge keys \\(<<\\) are not read; write the keys out"),
        ("a: &a [1]\nb: &b [*a]\n", r", line 2, column 8: .*the alias \*a is part of what another alias stands for"),
        ("a: &a [*a]", r"the alias \*a is part of what another alias stands for; write it out"),
        ("a: &a {b: *a}", r"the alias \*a is part of what another alias stands for; write it out"),
        ("a: *b", ", line 1, column 4: not valid YAML: found undefined alias"),
        ("a: 1\n\tb: 1", "not valid YAML: .*; indent by spaces, as YAML takes no tabs"),
        ("a: [b", r", line \d+, column \d+: not valid YAML"),
        ("a: !!python/object/apply:os.mkdir [made]", "not valid YAML: could not determine a constructor"),
        ("a: 2001-99-99", r": not valid YAML: \w+: "),
        ("a: !!int ''", r": not valid YAML: \w+: "),
        ("a: !!bool maybe", r": not valid YAML: \w+: "),
        ("a: !!timestamp now", r": not valid YAML: \w+: "),
        pytest.param("a: " + "9" * 5000, r": not valid YAML: \w+: ", id="digits"),
        pytest.param("a: " + "[" * 9999, r": not valid YAML: \w+: ", id="brackets"),
        ("a:\n   b: 1\n  c: 2\n", ", line 3, column 3: not valid YAML: the indentation of this line differs"),
        ("a:\n  - x: 1\n  y: 2\n", ", line 3, column 3: not valid YAML: the indentation of this line differs"),
        ("a: b: c\n", "mapping values are not allowed here; indent the line as its neighbors, or put a text"),
        (b"\xff\xfe\x00", "expected text in UTF-8, found something else"),
    ],
)
def test_what_is_wrong_with_yaml_is_said_with_its_line_and_column(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ManifestError, match=re.escape(str(path)) + (said if said[0] in ":," else f".*{said}")):
        read_yaml(path)
    assert not (tmp_path / "made").exists()


def test_a_large_yaml_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ManifestError, match="expected a file, found a folder; name a regular file"):
        read_yaml(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n" + "#" * MAX_YAML_BYTES)
    with pytest.raises(ManifestError, match=f"expected at most {MAX_YAML_BYTES} bytes of text"):
        read_yaml(path)
