"""Problems of many cases that read alike are one line; others stay what they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.problems import Problem, as_error, merge_similar

TEXTS = st.sampled_from(["too large", "found 3 of 4", "found 5 of 6", "the mask is empty"])
PROBLEMS = st.lists(
    st.builds(
        Problem,
        dataset=st.sampled_from("AB"),
        case=st.sampled_from(["", "a", "b", "c", "d1"]),
        problem=TEXTS,
        remedy=st.sampled_from(["mend it", "leave it out"]),
        severity=st.sampled_from(["error", "warning"]),
    ),
    max_size=12,
)


def case(name, problem, remedy="mend it", **more):
    return Problem("A", name, problem, remedy, **more)


@given(PROBLEMS)
def test_no_case_is_lost_and_no_problem_of_another_dataset_or_severity_is_joined(problems):
    found = merge_similar(problems)
    told = [(one.dataset, one.severity, name) for one in found for name in (one.cases or (one.case,))]
    assert {*told} == {(one.dataset, one.severity, one.case) for one in problems}
    assert len(found) <= len(problems)
    assert merge_similar(found) == found


def test_equal_problems_are_counted_and_the_first_cases_named():
    problems = [case(f"c{k}", "too large", total=30) for k in range(20)]
    (one,) = merge_similar(problems)
    assert str(one) == "20 of 30 cases, 'c0', 'c1', 'c2' and 17 more: too large; mend it."
    assert one.cases == tuple(f"c{k}" for k in range(20))
    assert merge_similar(problems[:1]) == problems[:1]


def test_files_of_the_cases_become_a_pattern():
    problems = [case(name, f"image /data/{name}/ct_{name}.nii.gz: the file is empty") for name in ("p1", "p2")]
    (one,) = merge_similar(problems)
    assert one.problem == "2 of 2 cases, 'p1', 'p2': image /data/*/ct_*.nii.gz: the file is empty"


def test_other_numbers_are_those_of_the_first_case():
    (one,) = merge_similar([case(name, f"found shape ({k}, 4)") for k, name in enumerate("ab")])
    assert one.problem == "2 of 2 cases, 'a', 'b': found shape (0, 4) (so of 'a'; the others alike)"


@pytest.mark.parametrize(
    "other",
    [
        case("b", "too small"),
        case("b", "too large", "leave it out"),
        case("b", "too large", severity="warning"),
        Problem("B", "b", "too large", "mend it"),
        case("", "too large"),
    ],
)
def test_what_differs_stays_apart(other):
    problems = [case("a", "too large"), other]
    assert merge_similar(problems) == problems


def test_a_name_within_a_word_is_no_name():
    """A case called 'a' does not make 'a mask' the same as 'b mask'."""
    assert len(merge_similar([case("a", "cat"), case("b", "cbt")])) == 2


def test_cases_that_are_called_by_numbers():
    assert len(merge_similar([case(str(k), "found shape (1, 4, 5)") for k in range(12)])) == 1


def test_an_error_says_each_problem_once():
    error = as_error([case(name, "too large") for name in "abcd"], "A", 9)
    assert str(error) == (
        "dataset 'A': 4 of 9 cases cannot be used:\n  4 of 9 cases, 'a', 'b', 'c' and 1 more: too large; mend it."
    )
    assert str(as_error([case("a", "too large")], "A", 1)).startswith("dataset 'A': 1 of 1 case cannot be used:\n")


def test_a_question_ends_with_its_own_mark():
    assert str(case("a", "found 'x'", "did you mean 'y'?")) == "case 'a': found 'x'; did you mean 'y'?"
