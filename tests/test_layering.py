"""The house keeps its floors apart: each package imports only what DESIGN allows it, and there is no cycle."""

import ast
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
