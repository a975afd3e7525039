"""Fetching from a mirror: what comes, what is skipped, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from history_fetcher.archives import span_of
from history_fetcher.trouble import BadRequest, Locked, NoRoom, Unreachable
from history_fetcher.verify import verify
from tests.history_fetcher.conftest import NOW, Fetch, stored
from tests.history_fetcher.mirror import Mirror, answers, cuts_after, drips, zipped
from tests.history_fetcher.rows import HOUR, row, rows_of


def manifest(root: Path) -> dict[str, dict[str, dict[str, object]]]:
    found: dict[str, dict[str, dict[str, object]]] = json.loads((root / "manifest.json").read_text())
    return found


def test_months_on_both_sides_of_the_microseconds_become_one_series(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    for month in ("2024-12", "2025-01"):
        mirror.put_rows("BTCUSDT/1h", month, rows_of(month))

    outcome = fetch("--from", "2024-12", "--to", "2025-01")

    times = stored(root)["open_time"]
    assert (outcome.downloaded, outcome.rows, outcome.exit_code) == (2, 62 * 24, 0)
    assert times.tolist() == list(range(span_of("2024-12")[0], span_of("2025-01")[1], HOUR))
    assert outcome.series["binance/BTCUSDT/1h"]["gaps"] == []
    assert verify(root) == []


def test_a_second_run_downloads_nothing(mirror: Mirror, fetch: Fetch) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    fetch("--from", "2024-12", "--to", "2024-12")
    mirror.asked.clear()

    outcome = fetch("--from", "2024-12", "--to", "2024-12")

    assert (outcome.downloaded, outcome.skipped) == (0, 1)
    assert mirror.asked == [""]


def test_edges_and_missing_months_come_from_days_only_when_asked_for(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-11", rows_of("2024-11"))
    for day in (*(f"2024-12-{number:02}" for number in range(1, 32)), "2025-01-01", "2025-01-02"):
        mirror.put_rows("BTCUSDT/1h", day, rows_of(day))

    whole_months = fetch("--from", "2024-11", "--to", "2025-01-02")
    every_day = fetch("--from", "2024-11", "--to", "2025-01-02", "--fill_daily")

    assert whole_months.downloaded == 1
    assert whole_months.unpublished == {"binance/BTCUSDT/1h": ["2024-12"]}
    assert whole_months.edges == {"binance/BTCUSDT/1h": ["2025-01-01", "2025-01-02"]}
    assert (every_day.downloaded, every_day.unpublished, every_day.edges) == (33, {}, {})
    assert len(stored(root)["open_time"]) == 24 * (30 + 31 + 2)


def test_a_listing_of_many_pages_is_read_to_its_end(mirror: Mirror, fetch: Fetch) -> None:
    mirror.page_keys = 3
    for number in range(1, 13):
        mirror.put_rows("BTCUSDT/1h", f"2024-{number:02}", rows_of(f"2024-{number:02}"))

    outcome = fetch("--from", "2024-01", "--to", "2024-12")

    assert outcome.downloaded == 12
    assert mirror.asked.count("") == 8


def test_a_mirror_without_listing_is_asked_by_name(mirror: Mirror, fetch: Fetch) -> None:
    mirror.has_listing = False
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))

    first = fetch("--from", "2024-11", "--to", "2024-12")
    again = fetch("--from", "2024-11", "--to", "2024-12")

    assert (first.downloaded, first.unpublished) == (1, {"binance/BTCUSDT/1h": ["2024-11"]})
    assert (again.downloaded, again.skipped) == (0, 1)


def test_an_archive_that_was_uploaded_again_replaces_its_older_self(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    fetch("--from", "2024-12", "--to", "2024-12")
    rows = rows_of("2024-12")
    rows[5] = row(span_of("2024-12")[0] + 5 * HOUR, close=123.0)
    key = mirror.put_rows("BTCUSDT/1h", "2024-12", rows)

    outcome = fetch("--from", "2024-12", "--to", "2024-12")

    assert (outcome.reuploaded, outcome.restated) == ([key], 1)
    assert stored(root)["close"][5] == 123.0
    assert manifest(root)["series"]["binance/BTCUSDT/1h"]["partitions"]["2024-12"]["restated"] == 1  # type: ignore[index]


def test_the_same_archive_under_a_new_tag_is_not_fetched_again(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    fetch("--from", "2024-12", "--to", "2024-12")
    path = root / "manifest.json"
    facts = json.loads(path.read_text())
    for entry in facts["archives"].values():
        entry["etag"] = "of another server"
    path.write_text(json.dumps(facts))
    mirror.asked.clear()

    outcome = fetch("--from", "2024-12", "--to", "2024-12")

    assert (outcome.skipped, outcome.downloaded, mirror.archives_asked()) == (1, 0, [])


def test_the_month_overrules_its_days(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    for number in range(1, 32):
        mirror.put_rows("BTCUSDT/1h", f"2024-12-{number:02}", rows_of(f"2024-12-{number:02}"))
    fetch("--from", "2024-12", "--to", "2024-12", "--fill_daily")
    mirror.put_rows("BTCUSDT/1h", "2024-12", [row(at, close=111.0) for at in range(*span_of("2024-12"), HOUR)])

    outcome = fetch("--from", "2024-12", "--to", "2024-12", "--fill_daily")

    assert outcome.downloaded == 1
    assert set(stored(root)["close"]) == {111.0}


def test_a_missing_partition_is_made_anew_without_a_download(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    fetch("--from", "2024-12", "--to", "2024-12")
    before = stored(root)
    next(root.rglob("*.parquet")).unlink()
    mirror.asked.clear()

    fetch("--from", "2024-12", "--to", "2024-12")

    assert mirror.archives_asked() == []
    assert all((stored(root)[name] == before[name]).all() for name in before)


def test_gaps_stay_gaps_and_are_listed(mirror: Mirror, fetch: Fetch) -> None:
    begin = span_of("2024-11")[0]
    mirror.put_rows("BTCUSDT/1h", "2024-11", rows_of("2024-11", without=frozenset({3, 4, 719})))
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12", without=frozenset({0})))

    found = fetch("--from", "2024-11", "--to", "2024-12").series["binance/BTCUSDT/1h"]

    assert found["gaps"] == [(begin + 3 * HOUR, begin + 5 * HOUR, 2), (begin + 719 * HOUR, begin + 721 * HOUR, 2)]
    assert found["missing"] == 4


def test_the_newest_candles_come_from_rest(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2025-05", rows_of("2025-05"))

    def klines(words: dict[str, str]) -> bytes:
        first, last = int(words["startTime"]), int(words["endTime"])
        opens = range(first - first % HOUR, last, HOUR)[: int(words["limit"])]
        return json.dumps([json.loads(f"[{row(at, is_archived=False)}]") for at in opens]).encode()

    mirror.rest = klines
    outcome = fetch("--from", "2025-05", "--rest-url", mirror.url)
    again = fetch("--from", "2025-05", "--rest-url", mirror.url)

    # The candle that is still open is not taken.
    assert stored(root)["open_time"][-1] == NOW - HOUR
    assert outcome.from_rest == 14 * 24 + 12
    assert again.from_rest == 0
    assert outcome.series["binance/BTCUSDT/1h"]["gaps"] == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(mirror: Mirror, fetch: Fetch, status: int) -> None:
    key = mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    mirror.troubles[key] = [answers(status, headers={"Retry-After": "0"})] * 2

    assert fetch("--from", "2024-12", "--to", "2024-12").exit_code == 0


def test_a_cut_transfer_goes_on_where_it_ended(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    key = mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    mirror.troubles[key] = [cuts_after(1000), cuts_after(1000)]

    outcome = fetch("--from", "2024-12", "--to", "2024-12")

    assert (outcome.exit_code, len(stored(root)["open_time"])) == (0, 744)
    assert outcome.bytes == len(mirror.files[key])


def test_a_dripping_server_is_given_up(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    key = mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    mirror.troubles[key] = [drips(5.0)] * 5

    with pytest.raises(Unreachable, match=r"only \d+ bytes came"):
        fetch("--from", "2024-12", "--to", "2024-12", drip_seconds=0.2)
    assert not list(root.rglob("*.parquet"))


BEGIN = span_of("2024-12")[0]
GOOD = "".join(f"{line}\n" for line in rows_of("2024-12")).encode()
NAME = "BTCUSDT-1h-2024-12.csv"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (zipped({NAME: GOOD, "second.csv": GOOD}), "holds 2 files"),
        (zipped({f"../../{NAME}": GOOD}), "was expected"),
        (zipped({"ETHUSDT-1h-2024-12.csv": GOOD}), "was expected"),
        (zipped({NAME: b"0" * (40 << 20)}), "would unpack to"),
        (zipped({NAME: GOOD})[:-200], "damaged"),
        (b"<!DOCTYPE html><html>come back later</html>", "a web page"),
        (b"hello", "no zip"),
        (zipped({NAME: b"nothing,but,words\n" * 3}), "not one of 3 rows"),
    ],
    ids=["two files", "path outside", "another symbol", "bomb", "truncated", "page", "text", "nonsense"],
)
def test_a_bad_archive_is_refused_and_the_others_go_on(
    mirror: Mirror, fetch: Fetch, root: Path, content: bytes, complaint: str
) -> None:
    key = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-12.zip"
    mirror.put(key, content)
    mirror.put_rows("BTCUSDT/1h", "2024-11", rows_of("2024-11"))

    outcome = fetch("--from", "2024-11", "--to", "2024-12")

    assert complaint in outcome.failed[key]
    assert outcome.exit_code == 1
    assert len(stored(root)["open_time"]) == 720
    assert not [path for path in root.rglob("*") if "month=12" in path.as_posix() and path.is_file()]
    assert not list(root.parent.glob("*.csv"))


def test_an_archive_that_is_not_its_checksum_is_refused(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    key = mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    mirror.files[key] = mirror.files[key] + b"tail"

    outcome = fetch("--from", "2024-12", "--to", "2024-12")

    assert "not what its CHECKSUM says" in outcome.failed[key]
    assert [path.name for path in root.rglob("*") if path.is_file()] == [".lock"] or not list(root.rglob("*.zip"))


def test_impossible_rows_are_quarantined_with_their_line(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    rows = rows_of("2024-12")
    rows[2] = rows[2].replace("100.0", "-1", 1)
    rows[4] = "some,words"
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows)

    outcome = fetch("--from", "2024-12", "--to", "2024-12")

    report = (root / "quarantine/binance/BTCUSDT/BTCUSDT-1h-2024-12.csv").read_text().splitlines()
    assert outcome.refused == 2
    assert [line.split(",")[:2] for line in report[1:]] == [["3", "price not above zero"], ["5", "no row of twelve numbers"]]
    assert len(stored(root)["open_time"]) == 742


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--symbol", "BTCUSDTT"], "Did you mean BTCUSDT"),
        (["--symbol", "../etc"], "no symbol"),
        (["--interval", "1x"], "Unknown interval"),
        (["--from", "2024-12", "--to", "2024-11"], "must lie before"),
        (["--from", "2031-01"], "future"),
        (["--from", "2024-01", "--to", "2031-01"], "future"),
        (["--from", "January"], "no date"),
        (["--jobs", "0"], "--jobs"),
        (["--base-url", "file:///etc/passwd"], "must be an address"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    mirror: Mirror, fetch: Fetch, root: Path, words: list[str], complaint: str
) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))

    with pytest.raises(BadRequest, match=complaint):
        fetch(*words)
    assert not list(root.rglob("*.parquet"))


def test_only_one_run_writes_to_a_root(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    from history_fetcher.store import Store

    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    with Store(root).lock(), pytest.raises(Locked, match="Another run"):
        fetch("--from", "2024-12", "--to", "2024-12")


def test_a_root_that_is_a_file_is_refused(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    root.write_text("in the way")

    with pytest.raises(NoRoom, match="cannot be written"):
        fetch("--from", "2024-12", "--to", "2024-12")


def test_a_dry_run_touches_nothing(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    key = mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))

    outcome = fetch("--from", "2024-12", "--to", "2024-12", "--dry-run")

    assert outcome.planned == [key]
    assert not root.exists()


def test_a_damaged_file_is_found_by_verify(mirror: Mirror, fetch: Fetch, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    fetch("--from", "2024-12", "--to", "2024-12")
    for path in (next(root.rglob("*.parquet")), next(root.rglob("*.zip"))):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))

    assert len(verify(root)) == 2


@pytest.mark.parametrize("kind", ["trades", "aggTrades"])
def test_trades_come_in_the_order_of_their_ids(mirror: Mirror, fetch: Fetch, root: Path, kind: str) -> None:
    begin = span_of("2024-12-01")[0]
    middle = "{q},{q}" if kind == "aggTrades" else "{q}"
    lines = [f"{n},100.5,0.25,{middle.format(q=n + 1)},{begin + n},True,True" for n in range(500)]
    lines[7] = lines[6]
    mirror.put_rows(f"BTCUSDT/{kind}", "2024-12-01", lines, kind=kind)

    outcome = fetch("--kind", kind, "--from", "2024-12-01", "--to", "2024-12-01", "--fill_daily")

    found = stored(root, stream=kind)
    assert (outcome.rows, outcome.refused) == (499, 1)
    assert (np.diff(found["id"]) > 0).all()
    assert found["is_buyer_maker"].all()
    assert verify(root) == []
