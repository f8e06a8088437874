"""The house keeps its floors apart: each package imports only what DESIGN allows it, and there is no cycle."""

import ast
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "protocols": set(),
    "errors": set(),
    "units": {"errors"},
    "model": {"protocols"},
    "traffic": {"model", "protocols"},
    "analyzer": {"model", "protocols"},
    "capture": {"model", "protocols"},
    "store": {"model", "protocols"},
    "evidence": {"model", "protocols"},
    "diagnosis": {"model"},
    "limits": {"model"},
    "bundle": {"model", "capture", "conclusion", "exporting", "plots", "report", "store"},
    "compare": {"model", "protocols", "analyzer", "analysis", "capture", "store", "traffic", "plots", "report"},
    "net": {"model", "traffic", "protocols"},
    "hosts": {"model", "net", "evidence", "store", "protocols"},
    "lab": {"model", "net", "evidence", "store", "protocols"},
    "plots": {"model"},
    "report": {"model", "plots"},
}
EVERYWHERE = {"errors", "units", "lazy"}


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] == "protocols" else parts[1]


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            top, _, rest = name.partition(".")
            if top in ("harness", "protocols"):
                found.add("protocols" if top == "protocols" else rest.partition(".")[0])
    return found


MODULES = sorted([*(ROOT / "harness").rglob("*.py"), *(ROOT / "protocols").rglob("*.py")])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_table(path: Path) -> None:
    package = package_of(path)
    allowed = MAY_IMPORT.get(package)
    if allowed is None:  # run, campaign, cli and the top package stand above all others
        return
    extra = set() if package == "protocols" else EVERYWHERE
    assert imported(path) <= allowed | extra | {package}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_grows_past_four_hundred_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


SUPPRESSION = re.compile(r"#\s*(noqa|type: ignore|pragma)(: [A-Z0-9, ]+|\[[a-z0-9, -]+\]|: no [a-z]+)?(?P<reason>.*)")


@pytest.mark.parametrize(
    ("comment", "has_reason"),
    [
        ("# noqa: A001 - used as harness.open", True),
        ("# type: ignore[misc]  # start and expiry are never None", True),
        ("# noqa: B006 (read only)", True),
        ("# noqa: PT017", False),
        ("# type: ignore[arg-type, misc]", False),
        ("# noqa", False),
        ("# pragma: no cover", False),
    ],
)
def test_a_reason_is_told_from_none(comment: str, has_reason: bool) -> None:
    match = SUPPRESSION.match(comment)
    assert match is not None
    assert bool(re.search(r"[a-z]{2}", match["reason"])) is has_reason


def test_each_suppression_has_its_reason_beside_it() -> None:
    bare = []
    for path in [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]:
        with path.open("rb") as file:
            comments = [token for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]
        for token in comments:
            match = SUPPRESSION.match(token.string)
            if match and not re.search(r"[a-z]{2}", match["reason"]):
                bare.append(f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}")
    assert bare == []
