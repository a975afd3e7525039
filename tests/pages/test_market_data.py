"""How market data fares, as people see it: feeds with their doubts, sources with their newest word."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from marketdata import jobs
from marketdata.sources import keeping
from marketdata.sources.plugin import Observation
from portfolio.models import Account, Heartbeat
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
    assert "live" in admin_client.get(reverse("pages:system")).content.decode()

    doubt(world, "SILENT")
    assert "nothing for 11 s" in part(admin_client, "feeds")
    assert "1 of 1 in doubt" in admin_client.get(reverse("pages:system")).content.decode()


def test_a_source_shows_its_newest_word_until_that_is_too_old(world: World, admin_client: Client) -> None:
    now = timezone.now()
    said = Observation(entity="market", event_at=now - timedelta(hours=1), available_at=None, value=40.0)
    keeping.switch("fear-and-greed", is_enabled=True)
    keeping.keep("fear-and-greed", [said], raw_hash="x", now=now)
    assert "40" in part(admin_client, "sources")

    rows = admin_client.get("/api/v1/sentiment").json()["items"]
    [row] = [row for row in rows if row["name"] == "fear-and-greed"]
    assert (row["value"], row["state"], row["entity"]) == (40.0, "on", "market")
    later = (now + timedelta(hours=40)).isoformat()
    [row] = [r for r in admin_client.get("/api/v1/sentiment", {"at": later}).json()["items"] if r["name"] == "fear-and-greed"]
    assert row["value"] is None
    earlier = (now - timedelta(minutes=5)).isoformat()
    [row] = [r for r in admin_client.get("/api/v1/sentiment", {"at": earlier}).json()["items"] if r["name"] == "fear-and-greed"]
    assert (row["value"], row["entity"]) == (None, ""), "nobody knew it then"
