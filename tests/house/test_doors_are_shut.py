"""What must not stand in any file: open doors, and names of somebody's machine."""

from __future__ import annotations

import ast
import re

from tests.house.sources import PROJECT, dotted_name, imports, is_excused, product_sources, tracked_files

# Written in pieces, so that this file does not find itself.
MACHINE_NAMES = re.compile(
    "|".join(
        (
            "/wo" + "rk/",
            "/ro" + r"ot/\.",
            "/o" + "pt/(wheels|pypi)",
            "/ho" + r"me/[a-z]",
            "/tm" + "p/plan",
            "python" + "hosted",
            r"\bpy" + r"pi\.org",
            r"--(extra-)?index" + "-url ",
            r"\.libr" + "ary/",
        )
    )
)


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for name in tracked_files():
        try:
            text = (PROJECT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {match.group()}" for match in MACHINE_NAMES.finditer(text)]

    assert not found, "\n".join(found)


def test_no_view_is_exempt_from_csrf() -> None:
    exempt = [f"{source.path}:{line}" for source in product_sources() for line, name in imports(source) if "csrf_exempt" in name]

    assert not exempt, "\n".join(exempt)


def test_no_statement_is_glued_together() -> None:
    glued = [
        f"{source.path}:{node.lineno} {ast.unparse(node)[:80]}"
        for source in product_sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and dotted_name(node.func).split(".")[-1] in {"execute", "executemany", "raw", "RawSQL"}
        if node.args and _is_glued(node.args[0]) and not is_excused(source, node.lineno)
    ]

    assert not glued, "\n".join(glued)


def test_nothing_is_marked_safe_or_evaluated() -> None:
    dangerous = {"mark_safe", "eval", "exec", "pickle.loads", "yaml.load", "os.system"}
    found = [
        f"{source.path}:{node.lineno} {dotted_name(node.func)}"
        for source in product_sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and dotted_name(node.func) in dangerous
    ]

    assert not found, "\n".join(found)


def test_templates_have_no_inline_script_or_style() -> None:
    inline = re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>|<style\b|\son[a-z]+=\"|\sstyle=\"", re.IGNORECASE)
    found = [
        f"{name}: {match.group().strip()}"
        for name in tracked_files()
        if name.endswith(".html")
        for match in inline.finditer((PROJECT / name).read_text(encoding="utf-8"))
    ]

    assert not found, "\n".join(found)


def test_every_pinned_requirement_carries_hashes_and_no_address() -> None:
    for name in ("run", "test"):
        text = (PROJECT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        pins = re.findall(r"^[A-Za-z0-9][^=\s]*==", text, re.MULTILINE)

        assert len(pins) > 50
        assert len(re.findall(r"\\\n    --hash=sha256:[0-9a-f]{64}", text)) >= len(pins)
        assert "://" not in text


def _is_glued(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Mod) or _is_glued(node.left) or _is_glued(node.right)
    return isinstance(node, ast.Call) and dotted_name(node.func).endswith(".format")
