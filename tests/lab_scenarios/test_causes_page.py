"""The page of causes is what the table of rules and the scenarios say now."""

from pathlib import Path

from harness.diagnosis import catalogue
from harness.matrix.catalogue import entries
from harness.matrix.causes import DOCUMENT, PLOTS, render

PROJECT = Path(__file__).parents[2]


def test_the_page_of_causes_is_current() -> None:
    page = PROJECT / DOCUMENT
    pictures = {path.stem for path in (page.parent / PLOTS).glob("*.png")}
    told = "write it again: python -m harness.matrix.causes"
    assert page.read_text(encoding="utf-8") == render(catalogue(), entries(), pictures), told
