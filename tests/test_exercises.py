"""The checks below a notebook's exercises."""

import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell

import darts_lab as dl
from darts_lab.exercises import StopHere


def test_an_exercise_says_right_or_nothing_yet_and_a_wrong_answer_fails_with_its_hint(capsys):
    dl.exercise(1, None, lambda answer: 1 / 0)
    dl.exercise(2, 4, lambda answer: answer == 4)
    assert capsys.readouterr().out == "Exercise 1: no answer yet.\nExercise 2: right.\n"
    with pytest.raises(AssertionError, match="^Exercise 3: not yet. Count again.$"):
        dl.exercise(3, 5, lambda answer: answer == 4, hint="Count again.")


def test_a_notebook_shows_a_wrong_answers_sentence_alone(capsys):
    shell = InteractiveShell()
    shell.showtraceback(value_of_failing_exercise())
    assert capsys.readouterr().out.strip() == "Exercise 1: not yet. Count again."


def value_of_failing_exercise() -> tuple:
    try:
        dl.exercise(1, 5, lambda answer: answer == 4, hint="Count again.")
    except AssertionError:
        return sys.exc_info()


def test_run_all_stops_once_in_a_page_and_never_where_nobody_looks(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    dl.stop_here()
    monkeypatch.setenv("JPY_SESSION_NAME", "00_start_here.ipynb")
    monkeypatch.setattr("darts_lab.exercises._stopped", [])
    with pytest.raises(StopHere, match="^Run All stops here"):
        dl.stop_here()
    dl.stop_here()
