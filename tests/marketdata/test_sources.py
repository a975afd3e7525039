"""Sources beyond price: what they answer, when it was known, how long it is good, and what happens when they fail."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from aiohttp import web
from django.core.management import call_command
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from marketdata import conversion, jobs, selectors, writers
from marketdata.candles import moment
from marketdata.conversion import NoRate, Quoted, rate_between
from marketdata.models import Instrument, Market, Observation, SourceState
from marketdata.quota import DatabaseCounter
from marketdata.sources import collecting, keeping, lexicon
from marketdata.sources.figures import FearAndGreed, Funding, StablePremium
from marketdata.sources.plugin import KeyMissing, Question, Unreadable
from marketdata.sources.plugin import Observation as Said
from marketdata.sources.registry import SOURCES
from marketdata.sources.words import CryptoPanic, NewsFeeds, Reddit, canonical
from tests.marketdata.conftest import NOW, bitcoin_filters

DAY = datetime(2026, 1, 4, tzinfo=UTC)
RSS = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>Wire</title>
<item><title>Bitcoin rallies to a record</title><link>https://Example.org/a/?utm_source=x</link>
<pubDate>Sun, 04 Jan 2026 10:00:00 +0000</pubDate></item>
<item><title><![CDATA[Exchange hacked, Ether plunges]]></title><link>https://example.org/b</link>
<pubDate>Sun, 04 Jan 2026 11:00:00 +0000</pubDate></item>
<item><title>No date at all</title><link>https://example.org/c</link></item>
<item><title>A script</title><link>javascript:alert(1)</link><pubDate>Sun, 04 Jan 2026 11:00:00 +0000</pubDate></item>
</channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>Other wire</title><entry><title>Bitcoin Rallies to a Record!</title>
<link href="https://elsewhere.example/1"/><updated>2026-01-04T10:05:00Z</updated></entry></feed>"""


NONSENSE = [b"", b"<html>blocked</html>", b"{}", b"[]", b"null", b"[[1]]", b"\xff\xfe", b"[" * 9000]
NONSENSE += [b'{"data": 1, "results": [1]}', b'{"data": {"children": [3]}}']


def fear(*values: int, begin: datetime = DAY) -> bytes:
    days = [begin + timedelta(days=number) for number in range(len(values))]
    rows = [
        {"value": str(v), "value_classification": "?", "timestamp": str(int(at.timestamp()))}
        for at, v in zip(days, values, strict=True)
    ]
    return json.dumps({"name": "Fear and Greed Index", "data": rows, "metadata": {"error": None}}).encode()


def funding(rate: str) -> bytes:
    return json.dumps([{"symbol": "BTCUSDT", "fundingTime": int(DAY.timestamp() * 1000), "fundingRate": rate}]).encode()


def posts(good: int, bad: int) -> bytes:
    votes = {"positive": good, "negative": bad}
    post = {"id": 7, "title": "Bitcoin", "published_at": "2026-01-04T10:00:00Z", "votes": votes, "currencies": [{"code": "BTC"}]}
    return json.dumps({"results": [post]}).encode()


def test_every_source_reads_its_recorded_shape() -> None:
    [day] = FearAndGreed().parse(fear(40))
    assert (day.entity, day.value, day.event_at, day.available_at) == ("market", 40.0, DAY, DAY + timedelta(minutes=15))
    [paid] = Funding().parse(funding("0.00010000"))
    assert (paid.entity, paid.value, paid.available_at) == ("BTC", 0.0001, DAY)
    [premium] = StablePremium().parse(b'{"bid":"0.9995","ask":"0.9997","time":"2026-01-04T10:00:00Z"}')
    assert premium.value == pytest.approx(-0.0004)
    news = NewsFeeds().parse(RSS)
    assert [(one.entity, one.value, one.reference) for one in news] == [
        ("BTC", 1.0, "https://example.org/a"),
        ("ETH", -1.0, "https://example.org/b"),
    ]
    [post] = CryptoPanic().parse(posts(3, 1))
    assert (post.entity, post.value, post.key) == ("BTC", 0.5, "post-7")
    thread = {"data": {"children": [{"data": {"name": "t3_x", "title": "Solana soars", "created_utc": DAY.timestamp()}}]}}
    [said] = Reddit().parse(json.dumps(thread).encode())
    assert (said.entity, said.value, said.reference) == ("SOL", 1.0, "t3_x")


@pytest.mark.parametrize("source", sorted(SOURCES))
@pytest.mark.parametrize("raw", NONSENSE)
def test_nonsense_is_unreadable_or_empty_and_nothing_else(source: str, raw: bytes) -> None:
    try:
        found = list(SOURCES[source].parse(raw))
    except Unreadable:
        return
    assert found == []


@pytest.mark.parametrize("value", ["101", "-1", "nan", "inf", "1e308"])
def test_a_figure_outside_its_bounds_is_refused(value: str) -> None:
    raw = fear(1).replace(b'"value": "1"', f'"value": "{value}"'.encode())
    with pytest.raises(Unreadable):
        FearAndGreed().parse(raw)


def test_a_document_that_declares_entities_is_not_read() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><rss><channel><item><title>&a;</title></item></channel></rss>'
    with pytest.raises(Unreadable, match="declares"):
        NewsFeeds().parse(bomb)


def test_two_feeds_that_tell_one_story_tell_it_once(db: None) -> None:
    source = NewsFeeds()
    for raw in (RSS, ATOM):
        keeping.keep("news", source.parse(raw), raw_hash="x", now=NOW)
    [bitcoin] = {row.key for row in Observation.objects.filter(entity="BTC")}
    assert len(bitcoin) == 32


@given(st.text(max_size=300))
def test_any_text_has_a_score_and_any_address_is_plain_or_none(text: str) -> None:
    assert -1 <= lexicon.score(text) <= 1
    try:
        url = canonical(text)
    except ValueError:
        return
    assert url == "" or url.startswith(("http://", "https://"))


def test_a_denial_turns_a_word_round() -> None:
    assert lexicon.score("no hack at the exchange") == 1.0
    assert lexicon.coins("bitcoin and BTC and ether") == ["BTC", "ETH"]


def test_a_decision_sees_only_what_could_be_known_then(db: None) -> None:
    keeping.keep("fear-and-greed", FearAndGreed().parse(fear(40, 60)), raw_hash="x", now=NOW)
    second = DAY + timedelta(days=1)

    def at(when: datetime) -> float:
        return keeping.feature_at("fear-and-greed", "market", when)

    assert math.isnan(at(DAY + timedelta(minutes=14)))
    assert at(DAY + timedelta(minutes=15)) == 40
    assert at(second + timedelta(minutes=14)) == 40
    assert at(second + timedelta(minutes=15)) == 60
    assert math.isnan(at(second + timedelta(hours=37))), "too old to mean anything: never carried on"


def test_a_restatement_is_known_when_it_is_seen_and_the_past_stays_as_it_was(db: None) -> None:
    keeping.keep("fear-and-greed", FearAndGreed().parse(fear(40)), raw_hash="x", now=DAY + timedelta(hours=1))
    keeping.keep("fear-and-greed", FearAndGreed().parse(fear(55)), raw_hash="y", now=DAY + timedelta(hours=9))
    again = keeping.keep("fear-and-greed", FearAndGreed().parse(fear(55)), raw_hash="z", now=DAY + timedelta(hours=10))

    assert again == 0
    assert keeping.feature_at("fear-and-greed", "market", DAY + timedelta(hours=8)) == 40
    assert keeping.feature_at("fear-and-greed", "market", DAY + timedelta(hours=9)) == 55


MINUTES = st.integers(1, 2000)


@pytest.mark.django_db
@given(st.lists(st.tuples(MINUTES, MINUTES, st.integers(0, 100)), max_size=12), MINUTES)
def test_what_comes_later_never_changes_what_was_known(told: list[tuple[int, int, int]], asked: int) -> None:
    Observation.objects.all().delete()
    at = DAY + timedelta(minutes=asked)
    before: list[float] = []
    for lag, seen, value in sorted(told, key=lambda one: one[1]):
        now = DAY + timedelta(minutes=seen)
        if now > at and not before:
            before = [keeping.feature_at("news", "BTC", at)]
        event = now - timedelta(minutes=lag)
        keeping.keep("news", [Said(entity="BTC", event_at=event, available_at=None, value=value / 100)], raw_hash="x", now=now)
    after = keeping.feature_at("news", "BTC", at)
    assert not before or before[0] == after or (math.isnan(before[0]) and math.isnan(after))


def test_the_mood_is_the_mean_of_what_is_young_enough(db: None) -> None:
    keeping.keep("cryptopanic", CryptoPanic().parse(posts(3, 1)), raw_hash="x", now=NOW - timedelta(hours=25))
    seen = NOW - timedelta(hours=25) + timedelta(minutes=5)
    assert keeping.mood_at("cryptopanic", "BTC", seen) == 0.5
    keeping.keep("cryptopanic", CryptoPanic().parse(posts(1, 3)), raw_hash="y", now=seen)
    assert keeping.mood_at("cryptopanic", "BTC", seen) == -0.5, "votes change; the newest count is one voice, not two"
    assert math.isnan(keeping.mood_at("cryptopanic", "BTC", NOW))


class Wire:
    """Answers what a test puts there, or fails."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []

    def __call__(self, addresses: list[str]) -> list[bytes]:
        self.asked.append(addresses)
        answer = self.answers.pop(0)
        if answer is None:
            raise collecting.NotAnswered("HTTP 503")
        return [answer]


def test_a_source_that_fails_is_left_alone_ever_longer_and_comes_back(db: None) -> None:
    keeping.switch("fear-and-greed", is_enabled=True)
    now = [NOW]
    wire = Wire(None, b"{}", None, fear(40))

    def collect() -> int:
        return collecting.collect("fear-and-greed", clock=lambda: now[0], get=wire)

    for _ in range(3):
        assert keeping.due(now[0]) == ["fear-and-greed"]
        assert collect() == 0
        now[0] += timedelta(hours=1)
    state = SourceState.objects.get()
    assert state.failures == 3
    assert state.retry_at == now[0] - timedelta(hours=1) + timedelta(minutes=5)
    SourceState.objects.update(retry_at=now[0] + timedelta(hours=2))
    assert keeping.due(now[0]) == [], "the circuit is open"
    now[0] += timedelta(hours=3)
    assert collect() == 1
    state.refresh_from_db()
    assert (state.failures, state.message) == (0, "1 new")
    assert SourceState.objects.filter(retry_at=None).exists()


def test_nobody_is_asked_who_was_not_switched_on(db: None) -> None:
    assert keeping.due(NOW) == []


def test_a_key_that_is_missing_is_said_and_one_that_is_there_is_not(db: None) -> None:
    with pytest.raises(KeyMissing):
        CryptoPanic().addresses(Question(since=None, until=NOW))
    assert collecting.collect("cryptopanic", clock=lambda: NOW, get=Wire(), environment={}) == 0
    assert "CRYPTOPANIC_TOKEN" in SourceState.objects.get().message
    wire = Wire(None)
    SourceState.objects.update(asked_at=None)
    collecting.collect("cryptopanic", clock=lambda: NOW, get=wire, environment={"CRYPTOPANIC_TOKEN": "hush"})
    assert "hush" in wire.asked[0][0]
    assert "hush" not in SourceState.objects.get().message


def test_the_wire_has_bounds_and_keeps_secrets() -> None:
    async def story() -> list[str]:
        async def answer(request: web.Request) -> web.Response:
            size = {"/good": 10, "/huge": collecting.ANSWER_BYTES_MAX + 1}.get(request.path)
            return web.Response(status=500) if size is None else web.Response(body=b"x" * size)

        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base, said = f"http://127.0.0.1:{runner.addresses[0][1]}", []
        assert await collecting._fetch_all([f"{base}/good"]) == [b"x" * 10]
        for path in ("huge", "bad?auth_token=hush"):
            try:
                await collecting._fetch_all([f"{base}/{path}"])
            except collecting.NotAnswered as error:
                said.append(str(error))
        await runner.cleanup()
        return said

    said = asyncio.run(story())
    assert len(said) == 2
    assert "hush" not in "".join(said)


def test_the_command_lists_switches_and_looks_back(db: None) -> None:
    def run(*words: str) -> str:
        out = StringIO()
        call_command("sources", *words, stdout=out)
        return out.getvalue()

    assert run("list").count("off") == len(SOURCES)
    assert "is on" in run("enable", "fear-and-greed")
    keeping.keep("fear-and-greed", FearAndGreed().parse(fear(40)), raw_hash="x", now=NOW)
    assert ": 40" in run("at", "fear-and-greed", "--when", (DAY + timedelta(hours=1)).isoformat())
    assert "nothing" in run("at", "fear-and-greed", "--when", DAY.isoformat())


def quoted(base: str, quote: str, price: str, *, minutes_ago: float = 0) -> Quoted:
    return Quoted(base, quote, Decimal(price), NOW - timedelta(minutes=minutes_ago))


def test_a_dollar_and_a_stable_coin_are_two_things() -> None:
    prices = [quoted("USDT", "USD", "0.998")]
    assert rate_between("USDT", "USD", prices, now=NOW).value == Decimal("0.998")
    assert rate_between("USD", "USDT", prices, now=NOW).value == 1 / Decimal("0.998")
    assert rate_between("USD", "USD", [], now=NOW).value == 1
    over = [quoted("BTC", "USDT", "60000"), quoted("BTC", "USD", "59940")]
    assert rate_between("USDT", "USD", over, now=NOW).value == pytest.approx(Decimal("0.999"))


STALE = [quoted("USDT", "USD", "0.998", minutes_ago=11)]


@pytest.mark.parametrize("prices", [[], STALE, [quoted("USDT", "USD", "0")], [quoted("ETH", "USD", "1")]])
def test_without_a_fresh_price_there_is_no_rate_and_no_guess(prices: list[Quoted]) -> None:
    with pytest.raises(NoRate) as refused:
        rate_between("USDT", "USD", prices, now=NOW)
    assert refused.value.code == "CONVERSION_UNKNOWN"


def test_the_rate_comes_from_two_markets_at_once_or_from_the_premium(db: None) -> None:
    with pytest.raises(NoRate):
        conversion.conversion_rate("USDT", "USD", now=NOW)
    for exchange, quote, price in (("binance", "USDT", "60000"), ("coinbase", "USD", "59940")):
        market = writers.upsert_market(exchange=exchange, epoch="real", facts={"label": exchange}, now=NOW)
        row = Instrument.objects.create(
            market=market, symbol=f"BTC/{quote}", venue_symbol=f"BTC{quote}", base="BTC", quote=quote, tick_size="0.01",
            lot_size="0.00001", quantity_min="0.00001", quantity_max="9000", notional_min="5", filters_read_at=NOW,
        )  # fmt: skip
        jobs.record_marks(market_id=market.pk, marks=[(row.pk, Decimal(price), NOW)], now=NOW)
    rate = conversion.conversion_rate("USDT", "USD", now=NOW)
    assert rate.value == pytest.approx(Decimal("0.999"))
    raw = b'{"bid":"0.9980","ask":"0.9980","time":"%s"}' % NOW.isoformat().encode()
    keeping.keep("stable-premium", StablePremium().parse(raw), raw_hash="x", now=NOW)
    assert conversion.conversion_rate("USDT", "USD", now=NOW).by == "USDT/USD"


def test_filters_of_the_past_can_be_asked_for(market: Market, bitcoin: Instrument) -> None:
    again: dict[str, Any] = {"market_id": market.pk, "venue_symbol": "BTCUSDT", "raw": {}, "order_count_max": 200}
    later = NOW + timedelta(days=30)
    writers.upsert_instrument(filters=bitcoin_filters(tick_size="0.1"), now=later, **again)
    writers.upsert_instrument(filters=bitcoin_filters(tick_size="0.1"), now=later + timedelta(days=1), **again)

    assert selectors.filters_at(bitcoin, NOW).tick_size == Decimal("0.01")
    assert selectors.filters_at(bitcoin, later - timedelta(seconds=1)).tick_size == Decimal("0.01")
    assert selectors.filters_at(bitcoin, later).tick_size == Decimal("0.1")
    assert selectors.filters_at(bitcoin, moment(0)).tick_size == Decimal("0.01"), "the first that anybody saw"
    assert bitcoin.filters_history.count() == 2


def disconnect() -> None:
    connection.close()


@pytest.mark.fault("P02", "M12")
@pytest.mark.django_db(transaction=True)
async def test_processes_count_together_in_the_database() -> None:
    here, there = DatabaseCounter(), DatabaseCounter()
    assert await here.take("api.example", "weight", 7, 100) == 100
    assert await there.take("api.example", "weight", 7, 50) == 150
    assert await here.take("api.example", "weight", 8, 5) == 5, "a new window begins with nothing"
    assert await here.take("api.example", "dials", 8, 1) == 1
    for counter in (here, there):
        await asyncio.get_running_loop().run_in_executor(counter._thread, disconnect)
