"""What type checkers are told of a lazy package is what it really offers."""

import ast
import importlib
import inspect

import pytest


@pytest.mark.parametrize(
    "package", ["harness", "harness.analysis", "harness.capture", "harness.model", "harness.net", "harness.run"]
)
def test_names_for_type_checkers_are_the_names_that_load(package: str) -> None:
    module = importlib.import_module(package)
    (block,) = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.If)]
    told = {
        (node.module, alias.name) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    offered = {(f"{package}.{home}", name) for home, names in module._MODULES.items() for name in names}
    assert told == offered
    assert sorted(name for _, name in offered) == module.__all__
    for _, name in offered:
        assert getattr(module, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(importlib.import_module("harness.model"), "noth" + "ing")


def test_completion_shows_the_api_before_its_use() -> None:
    import harness

    assert {"open", "analyze", "plot", "Parameters"} <= set(dir(harness))
