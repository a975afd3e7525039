"""Work on the history root in the background: done once, told as it goes, stopped when asked."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from marketdata import services, tasks
from marketdata.history import catalog, files, jobs
from marketdata.models import HistoryJob
from tests.history_fetcher.mirror import Mirror, drips, serving
from tests.history_fetcher.rows import rows_of
from tests.marketdata.conftest import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving(Mirror()) as found:
        yield found


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    settings.HISTORY_ROOT = tmp_path / "history"
    return tmp_path / "history"


@pytest.fixture
def browser(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin", password="a long enough password"))
    return client


def asked_for(mirror: Mirror, root: Path, **words: Any) -> HistoryJob:
    """Ask for December of 2024, as a person would."""
    known: dict[str, Any] = {"symbols": ["BTC/USDT"], "intervals": ["1h"], "begin": "2024-12", "end": "2024-12"}
    return services.request_fetch(**known | words, base_url=mirror.url, root=root, by=None, now=NOW)


def test_a_fetch_is_done_once_and_says_what_it_did(mirror: Mirror, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    job = asked_for(mirror, root)

    is_first = jobs.run_history_job(job_id=job.pk, root=root, clock=timezone.now)
    is_second = jobs.run_history_job(job_id=job.pk, root=root, clock=timezone.now)

    job.refresh_from_db()
    assert (is_first, is_second) == (True, False)
    assert (job.state, job.outcome["downloaded"], job.outcome["rows"]) == ("done", 1, 744)
    assert catalog.series(root)[0].rows == 744


def test_a_failed_archive_is_told(mirror: Mirror, root: Path) -> None:
    key = mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    mirror.files[key] += b"tail"
    job = asked_for(mirror, root)

    jobs.run_history_job(job_id=job.pk, root=root, clock=timezone.now)

    job.refresh_from_db()
    assert job.state == "failed"
    assert "CHECKSUM" in job.message


def test_a_waiting_job_is_cancelled_at_once(mirror: Mirror, root: Path) -> None:
    job = asked_for(mirror, root)

    cancelled = services.cancel_history_job(job_id=job.pk, now=NOW)

    assert cancelled.state == "cancelled"
    assert not jobs.run_history_job(job_id=job.pk, root=root, clock=timezone.now)


def test_a_running_job_stops_when_asked(mirror: Mirror, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "TELL_SECONDS", 0.05)
    key = mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    mirror.troubles[key] = [drips(600.0)]
    job = asked_for(mirror, root)

    def clock() -> Any:
        if key in mirror.asked:
            services.cancel_history_job(job_id=job.pk, now=NOW)
        return timezone.now()

    jobs.run_history_job(job_id=job.pk, root=root, clock=clock)

    job.refresh_from_db()
    assert job.state == "cancelled"
    assert not catalog.series(root)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("history")]


def test_a_job_whose_worker_died_is_found_and_done(mirror: Mirror, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    dead, alive = asked_for(mirror, root), asked_for(mirror, root)
    long_ago = timezone.now() - jobs.ABANDONED_AFTER - timedelta(seconds=1)
    HistoryJob.objects.filter(id=dead.pk).update(state="running", beat_at=long_ago)
    HistoryJob.objects.filter(id=alive.pk).update(state="running", beat_at=timezone.now())

    found = jobs.waiting(clock=timezone.now)
    tasks.run_history_job(job_id=dead.pk)

    dead.refresh_from_db()
    assert found == [dead.pk]
    assert dead.state == "done"


def test_verify_finds_damage(mirror: Mirror, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12"))
    jobs.run_history_job(job_id=asked_for(mirror, root).pk, root=root, clock=timezone.now)
    path = next(root.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    job = services.request_verify(by=None, now=NOW)

    jobs.run_history_job(job_id=job.pk, root=root, clock=timezone.now)

    job.refresh_from_db()
    assert (job.state, job.steps_done, job.steps_total) == ("failed", 2, 2)
    assert "changed or damaged" in job.message


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"symbols": []}, "at least one"),
        ({"symbols": ["--force"]}, "at least one"),
        ({"symbols": ["no symbol"]}, "no symbol"),
        ({"intervals": ["7m"]}, "Unknown interval"),
        ({"begin": "2031-01"}, "future"),
    ],
)
def test_nonsense_is_refused_before_anything_is_queued(root: Path, words: dict[str, Any], complaint: str) -> None:
    known: dict[str, Any] = {"symbols": ["BTCUSDT"], "intervals": ["1h"], "begin": "2024-12", "end": "", "root": root}

    with pytest.raises(services.UnableToFetch, match=complaint):
        services.request_fetch(**known | words, by=None, now=NOW)
    assert not HistoryJob.objects.exists()


def test_the_api_fetches_tells_and_cancels(browser: Client, mirror: Mirror, root: Path) -> None:
    mirror.put_rows("BTCUSDT/1h", "2024-12", rows_of("2024-12", without=frozenset({30, 31})))
    payload = {"symbols": ["BTCUSDT"], "intervals": ["1h"], "begin": "2024-12", "end": "2024-12", "base_url": mirror.url}

    created = browser.post("/api/v1/history/fetches", payload, "application/json", headers={"Idempotency-Key": "one"}).json()
    jobs.run_history_job(job_id=created["id"], root=root, clock=timezone.now)
    told = browser.get(f"/api/v1/history/fetches/{created['id']}").json()
    series = browser.get("/api/v1/history/series").json()["items"]
    calendar = browser.get("/api/v1/history/calendar", {"symbol": "BTC/USDT", "interval": "1h"}).json()
    refused = browser.post(
        "/api/v1/history/fetches",
        payload | {"begin": "2031-01", "end": ""},
        "application/json",
        headers={"Idempotency-Key": "two"},
    )

    assert (told["state"], told["percent"], told["rows"]) == ("done", 100.0, 742)
    assert [(one["symbol"], one["candles"], one["missing"], len(one["gaps"])) for one in series] == [("BTCUSDT", 742, 2, 1)]
    assert calendar["dates"][1] == "2024-12-02"
    assert calendar["missing"][:3] == [0, 2, 0]
    assert (refused.status_code, refused.json()["code"]) == (409, "HISTORY_REFUSED")
    assert browser.get("/api/v1/history/fetches/999999").status_code == 404


def test_files_are_imported_one_by_one_and_exported_for_others(browser: Client, root: Path) -> None:
    put(root, "BTC_USDT-1h.json", hours=24)
    put(root, "deep/ETHUSDT-1h.json", hours=3)
    (root / "imports" / "BTC_USDT-5m.feather").write_bytes(b"no feather")

    listed = browser.get("/api/v1/history/imports").json()["items"]
    imported = asked(browser, "imports", {"files": [one["name"] for one in listed]}, root=root)
    exported = asked(browser, "exports", {"symbol": "BTC/USDT", "interval": "1h", "format": "json"}, root=root)
    answer = browser.get(f"/api/v1/history/fetches/{exported['id']}/file")

    assert [(one["name"], one["series"]) for one in listed] == [
        ("BTC_USDT-1h.json", "binance/BTCUSDT/1h"),
        ("BTC_USDT-5m.feather", "binance/BTCUSDT/5m"),
        ("deep/ETHUSDT-1h.json", "binance/ETHUSDT/1h"),
    ]
    # One that cannot be read is named; the others are in.
    assert (imported["state"], imported["rows"], imported["steps_done"]) == ("failed", 27, 3)
    assert imported["message"].startswith("BTC_USDT-5m.feather: ")
    assert [(one.name, one.rows) for one in catalog.series(root)] == [("binance/BTCUSDT/1h", 24), ("binance/ETHUSDT/1h", 3)]
    assert (exported["state"], exported["file"]) == ("done", "BTC_USDT-1h.json")
    content = b"".join(answer)
    assert content == (root / "imports" / "BTC_USDT-1h.json").read_bytes()
    assert answer["Content-Disposition"] == 'attachment; filename="BTC_USDT-1h.json"'
    assert int(answer["Content-Length"]) == len(content)
    assert browser.get(f"/api/v1/history/fetches/{imported['id']}/file").status_code == 404


@pytest.mark.parametrize(
    ("what", "payload", "complaint"),
    [
        ("imports", {"files": ["../manifest.json"]}, "no '../manifest.json'"),
        ("imports", {"files": ["/etc/passwd"]}, "no '/etc/passwd'"),
        ("imports", {"files": ["a_link-1h.json"]}, "no 'a_link-1h.json'"),
        ("imports", {"files": ["candles.csv"]}, "does not say whose candles"),
        ("imports", {"files": ["candles.csv"], "symbol": "BTC/USDT", "interval": "7h"}, "Unknown interval '7h'"),
        ("imports", {"files": ["candles.csv"], "symbol": "BTC/USDT", "interval": "1h", "exchange": "../x"}, "no exchange's name"),
        ("exports", {"symbol": "ETH/USDT", "interval": "1h", "format": "csv"}, "has no binance/ETHUSDT/1h"),
        ("exports", {"symbol": "BTCUSDT", "interval": "1h", "format": "feather"}, "write the symbol as BTC/USDT"),
    ],
)
def test_files_that_cannot_be_taken_are_refused_at_the_door(
    browser: Client, root: Path, what: str, payload: dict[str, Any], complaint: str
) -> None:
    put(root, "BTC_USDT-1h.json", hours=2)
    files.import_file(root / "imports" / "BTC_USDT-1h.json", root=root, exchange="binance")
    put(root, "candles.csv", hours=0)
    (root / "imports" / "a_link-1h.json").symlink_to(root / "manifest.json")
    Path(os.fsdecode(bytes(root / "imports") + b"/caf\xe9-1h.json")).write_text("[]")
    assert [one["name"] for one in browser.get("/api/v1/history/imports").json()["items"]] == ["BTC_USDT-1h.json", "candles.csv"]

    refused = browser.post(f"/api/v1/history/{what}", payload, "application/json", headers={"Idempotency-Key": "one"})

    assert (refused.status_code, refused.json()["code"]) == (409, "HISTORY_REFUSED")
    assert complaint in refused.json()["title"]
    assert not HistoryJob.objects.exists()


def put(root: Path, name: str, *, hours: int) -> None:
    """Put a file of freqtrade's json into the folder of imports."""
    path = root / "imports" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([[1_704_067_200_000 + 3_600_000 * hour, 1.0, 2.0, 0.5, 1.5, 10.0] for hour in range(hours)]))


def asked(browser: Client, what: str, payload: dict[str, Any], *, root: Path) -> dict[str, Any]:
    """Ask for a job over the API, have it done, and answer how it ended."""
    created = browser.post(f"/api/v1/history/{what}", payload, "application/json", headers={"Idempotency-Key": what})
    assert created.status_code == 201, created.content
    jobs.run_history_job(job_id=created.json()["id"], root=root, clock=timezone.now)
    return dict(browser.get(f"/api/v1/history/fetches/{created.json()['id']}").json())
