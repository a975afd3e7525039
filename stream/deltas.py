"""The difference between two snapshots, small enough to push and exact enough to rebuild the second from the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

Delta = dict[str, list[Any]]


def between(before: dict[str, Any], after: dict[str, Any]) -> Delta:
    """Return what turns `before` into `after`: paths to set and paths to drop. Lists change as a whole."""
    delta: Delta = {"set": [], "drop": []}
    for path, is_there, value in _changes(before, after, ()):
        if is_there:
            delta["set"].append([list(path), value])
        else:
            delta["drop"].append(list(path))
    return delta


def is_empty(delta: Delta) -> bool:
    """Say whether nothing differs."""
    return not delta["set"] and not delta["drop"]


def applied(before: dict[str, Any], delta: Delta) -> dict[str, Any]:
    """Return the snapshot after a delta, leaving `before` as it is: what the browser does, and what tests compare with."""
    after = deepcopy(before)
    for path in delta["drop"]:
        _parent(after, path).pop(path[-1], None)
    for path, value in delta["set"]:
        _parent(after, path)[path[-1]] = value
    return after


def _changes(before: dict[str, Any], after: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool, Any]]:
    for key in before.keys() - after.keys():
        yield (*path, key), False, None
    for key, new in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, (*path, key))
        elif key not in before or not _same(old, new):
            yield (*path, key), True, new


def _same(old: Any, new: Any) -> bool:
    # In Python True equals 1 and 1 equals 1.0; in a browser's text they do not.
    return type(old) is type(new) and bool(old == new) and repr(old) == repr(new)


def _parent(tree: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    for key in path[:-1]:
        tree = tree[key]
    return tree
