"""How market data fares, as people see it: feeds with their doubts, sources with their newest word."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from marketdata import jobs, selectors, writers
from marketdata.sources import keeping
from marketdata.sources.plugin import Observation
from portfolio.models import Account, AuditEntry, Heartbeat
from tests.portfolio.world import World


def part(client: Client, name: str) -> str:
    answer = client.get(reverse("pages:part", args=[name]))
    assert answer.status_code == 200
    return answer.content.decode()


def doubt(world: World, word: str) -> None:
    state = jobs.PriceState(world.instruments["BTC/USDT"].pk, word, "nothing for 11 s" if word else "", None, 11.0)
    jobs.record_price_health(states=[state], now=timezone.now())


def test_without_words_the_parts_say_what_to_do(world: World, admin_client: Client) -> None:
    Account.objects.update(is_enabled=False)
    assert "No account follows a market yet" in part(admin_client, "feeds")
    assert "sources enable fear-and-greed" in part(admin_client, "sources")


def test_a_feed_shows_its_delay_and_its_doubts(world: World, admin_client: Client) -> None:
    market = Account.objects.get(pk=world.account_id).market_id
    assert "has not spoken yet" in part(admin_client, "feeds")
    facts = {"bar_ms": 37, "silent_seconds": 0.4, "candles": 12, "asked": 3, "gaps": 1, "revised": 0, "disputed": 0}
    Heartbeat.objects.create(process=f"feed {market}", beat_at=timezone.now(), facts=facts)
    doubt(world, "")
    shown = part(admin_client, "feeds")
    assert ">37<" in shown
    assert "All prices are trusted" in shown
    assert "live · 37 ms" in admin_client.get(reverse("pages:system")).content.decode()

    Heartbeat.objects.update(facts=facts | {"silent_seconds": 11.2})
    doubt(world, "SILENT")
    assert "nothing for 11 s" in part(admin_client, "feeds")
    assert "1 of 1 in doubt · 37 ms · quiet 11 s" in admin_client.get(reverse("pages:system")).content.decode()


def source(client: Client, name: str = "fear-and-greed", **words: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = client.get("/api/v1/sentiment", words).json()["items"]
    return next(row for row in rows if row["name"] == name)


def test_a_source_shows_its_newest_word_until_that_is_too_old(world: World, admin_client: Client) -> None:
    now = timezone.now()
    said = Observation(entity="market", event_at=now - timedelta(hours=1), available_at=None, value=40.0)
    keeping.switch("fear-and-greed", is_enabled=True)
    keeping.keep("fear-and-greed", [said], raw_hash="x", now=now)
    assert "40" in part(admin_client, "sources")

    row = source(admin_client)
    assert (row["state"], row["age_seconds_max"], row["observations"]) == ("on", 36 * 3600, 1)
    assert [(word["entity"], word["value"]) for word in row["words"]] == [("market", 40.0)]
    assert source(admin_client, at=(now + timedelta(hours=40)).isoformat())["words"][0]["value"] is None
    assert source(admin_client, at=(now - timedelta(minutes=5)).isoformat())["words"] == [], "nobody knew it then"


def test_a_switch_is_on_the_page_on_the_api_and_in_the_audit(world: World, admin_client: Client) -> None:
    page = admin_client.get(reverse("pages:sources")).content.decode()
    assert "No source is asked" in page
    assert 'id="on-fear-and-greed"' in page
    address = "/api/v1/sentiment/fear-and-greed"
    for is_enabled in (True, True, False):
        answer = admin_client.put(address, {"is_enabled": is_enabled}, content_type="application/json")
        assert (answer.status_code, answer.json()["is_enabled"]) == (200, is_enabled)
    entries = AuditEntry.objects.filter(action="source.switch").order_by("id")
    assert [(entry.subject, entry.after) for entry in entries] == [
        ("source:fear-and-greed", {"is_enabled": True}),
        ("source:fear-and-greed", {"is_enabled": False}),
    ], "what changes nothing is no change"
    assert admin_client.put("/api/v1/sentiment/moon", {"is_enabled": True}, content_type="application/json").status_code == 404


def test_a_source_that_is_left_alone_says_until_when_and_is_let_go(world: World, admin_client: Client) -> None:
    keeping.switch("reddit", is_enabled=True)
    for _ in range(keeping.FAILURES_MAX):
        keeping.note_failure("reddit", "HTTP 503", now=timezone.now())
    shown = part(admin_client, "sources")
    assert "left alone" in shown
    assert 'id="again-reddit"' in shown
    answer = admin_client.put("/api/v1/sentiment/reddit", {"is_enabled": True}, content_type="application/json").json()
    assert (answer["state"], answer["failures"], answer["retry_at"]) == ("on", 0, None)
    assert AuditEntry.objects.filter(action="source.let_go", subject="source:reddit").count() == 1
    assert "Set CRYPTOPANIC_TOKEN" in source(admin_client, "cryptopanic")["obstacle"]


def test_filters_of_the_past_are_on_the_page_and_the_api(world: World, admin_client: Client) -> None:
    bitcoin = world.instruments["BTC/USDT"]
    now = timezone.now()
    before = selectors.filters_of(bitcoin)
    steps: list[tuple[int, str, dict[str, Any]]] = [(3, "0.02", {}), (2, "0.01", {}), (1, "0.05", {})]
    for hours, tick, raw in (*steps, (0, "0.05", {"MAX_POSITION": {"maxPosition": "10"}})):
        writers.upsert_instrument(
            market_id=bitcoin.market_id,
            venue_symbol=bitcoin.venue_symbol,
            filters=replace(before, tick_size=Decimal(tick)),
            raw=raw,
            order_count_max=200,
            now=now - timedelta(hours=hours),
        )
    address = f"/api/v1/instruments/{bitcoin.pk}/filters"
    versions = admin_client.get(address).json()["items"]
    assert versions[0]["changed"] == {"MAX_POSITION": {"before": "", "after": ""}}
    assert versions[1]["changed"]["tick_size"] == {"before": "0.01", "after": "0.05"}
    [then] = admin_client.get(address, {"at": (now - timedelta(minutes=90)).isoformat()}).json()["items"]
    assert then["in_force"]["tick_size"] == "0.01"
    [first] = admin_client.get(address, {"at": "2000-01-01T00:00:00Z"}).json()["items"]
    assert first["version"] == versions[-1]["version"]
    assert admin_client.get("/api/v1/instruments/999999/filters").status_code == 404
    page = admin_client.get(reverse("pages:markets"), {"instrument": bitcoin.pk}).content.decode()
    assert "0.01 → 0.05" in page
    assert "Only one exchange is followed" in page
