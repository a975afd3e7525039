"""What the browser rebuilds is what the server has."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream import deltas

leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "1", "9,882.31"]) | st.lists(st.integers(0, 2))
trees = st.recursive(
    st.dictionaries(st.sampled_from(["a", "b", "c/d", "7"]), leaves),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c/d", "7"]), inner | leaves),
    max_leaves=12,
)


@given(before=trees, after=trees)
def test_a_snapshot_and_a_delta_make_the_next_snapshot(before: dict[str, Any], after: dict[str, Any]) -> None:
    delta = json.loads(json.dumps(deltas.between(before, after)))

    assert json.dumps(deltas.applied(before, delta), sort_keys=True) == json.dumps(after, sort_keys=True)


@given(tree=trees)
def test_nothing_changed_is_an_empty_delta(tree: dict[str, Any]) -> None:
    assert deltas.is_empty(deltas.between(tree, json.loads(json.dumps(tree))))


def test_true_and_one_are_not_the_same_text() -> None:
    assert deltas.between({"is_open": 1}, {"is_open": True}) == {"set": [[["is_open"], True]], "drop": []}
