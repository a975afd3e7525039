"""Shares over the API: what a preview shows, what an edit is told, versions and going back."""

from __future__ import annotations

from typing import Any

import pytest

from portfolio.models import AllocationVersion
from tests.api.conftest import Api
from tests.portfolio.world import World, build


@pytest.fixture
def world(db: None) -> World:
    return build(books=3, percent="30")


def shares(world: World, *percents: str) -> list[dict[str, Any]]:
    return [{"book": book.pk, "percent": text} for book, text in zip(world.books, percents, strict=False)]


def test_the_preview_says_in_quote_what_applying_then_does(api: Api, world: World) -> None:
    asked = {"shares": shares(world, "20", "45"), "policy": {"reserve_percent": "5"}, "version": 1}
    preview = api.post("allocations/preview", asked).json()
    done = api.post("allocations", asked)

    assert [(row["moved"], row["funded"], row["state"]) for row in preview["shares"]] == [
        ("-988.23", "1976.46", "funded"),
        ("1482.34", "4447.03", "funded"),
        ("0", "2964.69", "funded"),
    ]
    assert (preview["version"], preview["reserve"], preview["remainder_percent"]) == (1, "494.11", "0")
    assert done.status_code == 200, done.content
    after = done.json()
    assert [row["equity"] for row in after["shares"]] == [row["funded"] for row in preview["shares"]]
    assert (after["version"], after["policy"]["reserve_percent"]) == (2, "5")
    assert after["unallocated"] == preview["unallocated"]


def test_three_times_33_333_tells_the_remainder_and_offers_what_shares_out_all(api: Api, world: World) -> None:
    preview = api.post("allocations/preview", {"shares": shares(world, "33.333", "33.333", "33.333")}).json()

    assert preview["remainder_percent"] == "0.001"
    assert [row["percent"] for row in preview["even"]] == ["33.3334", "33.3333", "33.3333"]


def test_shares_past_the_whole_are_refused_with_shares_that_fit(api: Api, world: World) -> None:
    answer = api.post("allocations", {"shares": shares(world, "60", "60", "0")})

    assert (answer.status_code, answer.json()["code"]) == (409, "ALLOCATION_ABOVE_TOTAL")
    assert "Scaled to fit: Book 1 50, Book 2 50, Book 3 0" in answer.json()["title"]
    assert set(answer.json()["facts"]["even"].values()) == {"50", "0"}
    assert AllocationVersion.objects.count() == 1


@pytest.mark.parametrize("percent", ["NaN", "-1", "1e1", "Infinity", "33.33333", "", "1,5", "100.0001", "٣"])
def test_what_is_no_share_is_refused_at_the_door(api: Api, world: World, percent: str) -> None:
    answer = api.post("allocations", {"shares": shares(world, percent)})

    assert answer.status_code in (409, 422), answer.content
    assert AllocationVersion.objects.count() == 1


def test_the_second_of_two_editors_gets_the_other_change_and_changes_nothing(api: Api, world: World) -> None:
    assert api.post("allocations", {"shares": shares(world, "10"), "version": 1}).status_code == 200
    answer = api.post("allocations", {"shares": shares(world, "30", "0"), "version": 1})

    assert (answer.status_code, answer.json()["code"]) == (409, "ALLOCATION_STALE")
    assert answer.json()["facts"] == {
        "version": 2,
        "expected": 1,
        "changes": [{"version": 2, "book": world.books[0].pk, "before": "30", "after": "10"}],
    }
    assert AllocationVersion.objects.count() == 2


def test_versions_are_listed_with_differences_and_one_call_goes_back(api: Api, world: World) -> None:
    api.post("allocations", {"shares": shares(world, "10"), "note": "less"})
    page = api.get("allocations/versions", limit=1).json()
    rest = api.get("allocations/versions", cursor=page["next_cursor"]).json()
    preview = api.post("allocations/rollback", {"to": 1, "preview": True}).json()
    done = api.post("allocations/rollback", {"to": 1, "version": 2}).json()

    (newest,) = page["items"]
    assert (newest["number"], newest["set_by"], newest["note"]) == (2, "admin", "less")
    assert [(row["bot"], row["percent_before"], row["percent_after"]) for row in newest["changes"]] == [("Book 1", "30", "10")]
    assert ([row["number"] for row in rest["items"]], rest["next_cursor"]) == ([1], None)
    assert preview["shares"][0]["moved"] == "1976.46"
    assert (done["version"], done["shares"][0]["equity"]) == (3, "2964.69")


def test_a_rebase_over_the_api_is_a_version_or_nothing(api: Api, world: World) -> None:
    assert api.post("allocations/rebase", {"version": 1}).json()["version"] == 1
    assert api.post("allocations/rebase", {"version": 7}).json()["code"] == "ALLOCATION_STALE"


def test_a_lock_and_the_policy_are_set_beside_the_shares(api: Api, world: World) -> None:
    locked = [{"book": world.books[0].pk, "percent": "30", "is_locked": True}]
    answer = api.post("allocations", {"shares": locked, "policy": {"rebase_hours": 168, "band_percent": "0.5"}})

    assert answer.json()["shares"][0]["is_locked"] is True
    assert answer.json()["policy"] == {
        "reserve_percent": "0",
        "band_percent": "0.5",
        "rebase_hours": 168,
        "rebases_after_flows": False,
    }
    refused = api.post("allocations", {"shares": shares(world, "20")})
    assert refused.json()["code"] == "ALLOCATION_LOCKED"
