"""Imports go down: between packages (import-linter, `make check`) and between the rooms of a Django app (here)."""

from __future__ import annotations

import tomllib
from pathlib import PurePosixPath

from tests.house.sources import DJANGO_APPS, PROJECT, imports, product_sources, tracked_files

ROOMS = ("models", "selectors", "writers", "jobs", "tasks", "services", "schemas")
DOORS = ("api", "admin", "views", "management")
HEIGHT = {room: height for height, room in enumerate(ROOMS)} | dict.fromkeys(DOORS, len(ROOMS))


def test_every_package_stands_on_a_floor() -> None:
    tools = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    configuration, mutation = tools["importlinter"], tools["mutmut"]
    layers = next(contract["layers"] for contract in configuration["contracts"] if contract["id"] == "floors")
    on_a_floor = {name.strip(" ()") for layer in layers for name in layer.split("|")}
    packages = {
        PurePosixPath(name).parts[0] for name in tracked_files() if name.count("/") == 1 and name.endswith("/__init__.py")
    }

    assert packages - {"tests"} <= on_a_floor
    assert packages - {"tests"} == set(configuration["root_packages"])
    # The copy in which wrong turns are tried starts Django: it needs every one of them.
    assert packages - {"tests"} <= set(mutation["source_paths"]) | set(mutation["also_copy"])


def test_a_room_of_an_app_imports_only_lower_rooms() -> None:
    upward = []
    for source in product_sources():
        here = _room(source.path.removesuffix(".py").replace("/", "."))
        if here is None:
            continue
        for line, name in imports(source):
            there = _room(name)
            if there and there[0] == here[0] and HEIGHT[there[1]] > HEIGHT[here[1]]:
                upward.append(f"{source.path}:{line} imports {name}")

    assert not upward, "\n".join(upward)


def test_only_the_exchange_port_imports_ccxt() -> None:
    strangers = [
        f"{source.path}:{line}"
        for source in product_sources()
        if source.package != "exchange"
        for line, name in imports(source)
        if name.split(".")[0] == "ccxt"
    ]

    assert not strangers, "\n".join(strangers)


def test_ccxt_is_not_loaded_by_models_apps_or_addresses() -> None:
    """Importing ccxt costs seconds: a process that does not trade must not pay for it."""
    import subprocess
    import sys

    program = "import os, sys; import tests.typing_settings; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.typing_settings';"
    program += "import django; django.setup(); import tradeapp.urls; sys.exit('ccxt' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False).returncode == 0


def _room(dotted: str) -> tuple[str, str] | None:
    parts = dotted.split(".")
    if len(parts) < 2 or parts[0] not in DJANGO_APPS or parts[1] not in HEIGHT:
        return None
    return parts[0], parts[1]
