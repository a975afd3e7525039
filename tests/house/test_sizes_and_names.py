"""A function fits on a screen, a file is one subject, and everything has a real name."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath

from tests.house.sources import PURE, product_sources, python_sources, tracked_files

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 450
HOMELESS_NAMES = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "managers"}


def test_a_function_has_at_most_seventy_lines() -> None:
    too_long = [
        f"{source.path}:{function.lineno} {function.name} ({lines})"
        for source in python_sources()
        for function in source.functions()
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]

    assert not too_long, "\n".join(too_long)


def test_a_file_has_at_most_450_lines() -> None:
    too_long = [f"{source.path} ({source.line_count})" for source in python_sources() if source.line_count > FILE_LINES_MAX]

    assert not too_long, "\n".join(too_long)


def test_no_file_is_called_after_having_no_home() -> None:
    homeless = [
        name
        for name in tracked_files()
        if {PurePosixPath(name).stem.lower(), *(part.lower() for part in PurePosixPath(name).parts[:-1])} & HOMELESS_NAMES
    ]

    assert not homeless, "\n".join(homeless)


def test_no_class_is_a_manager() -> None:
    managers = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in product_sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Manager", "Helper", "Utils"))
    ]

    assert not managers, "\n".join(managers)


def test_every_public_function_of_a_pure_package_has_a_docstring() -> None:
    silent = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in product_sources()
        if source.package in PURE
        for node in source.tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]

    assert not silent, "\n".join(silent)


def test_every_module_says_what_it_knows() -> None:
    silent = [
        source.path
        for source in product_sources()
        if source.text.strip() and not source.path.endswith("__init__.py") and not ast.get_docstring(source.tree)
    ]

    assert not silent, "\n".join(silent)
