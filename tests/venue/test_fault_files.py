"""Fault files and rules that make no sense: each is refused with the place and the remedy."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.venue.hostile import Hostile
from tests.venue.processes import ROOT, VenueProcess
from venue.faults.catalogue import ACTIONS
from venue.faults.rules import UnusableFaults, read_file, read_rule

GOOD: dict[str, Any] = {"id": "E03", "action": "drop_answer"}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("no object", "a rule is an object such as"),
        ({**GOOD, "action": "explode"}, "action 'explode' is unknown: write one of drop_request,"),
        ({**GOOD, "id": "e3"}, "id 'e3' is no id of the fault catalogue: write for example E03"),
        ({**GOOD, "times": -1}, "times must be a whole number"),
        ({**GOOD, "times": True}, "times must be a whole number"),
        ({**GOOD, "limit": 1}, "a rule knows no 'limit': write id, action, match, when, times, with"),
        ({**GOOD, "match": []}, "match must be an object"),
        ({**GOOD, "match": {"endpoint": "order"}}, 'match.endpoint must be a text such as "POST /api/v3/order"'),
        ({**GOOD, "match": {"client_id": "("}}, "match: client_id must be a regular expression"),
        ({**GOOD, "match": {"colour": "red"}}, "match knows no 'colour': write symbol, client_id,"),
        ({**GOOD, "when": {"chance": 2}}, "when.chance must be from 0 to 1"),
        ({**GOOD, "when": {"chance": float("nan")}}, "when.chance must be from 0 to 1"),
        ({**GOOD, "when": {"skip": -1}}, "when.skip must not be below 0"),
        ({**GOOD, "with": {"hang_seconds": -1}}, "with of drop_answer: hang_seconds must be a number of seconds"),
        ({**GOOD, "action": "delay"}, "delay needs seconds in with: it must be a number of seconds"),
        ({**GOOD, "action": "mangle", "with": {"how": "rot13"}}, "how must be one of cut, html, empty"),
        ({**GOOD, "action": "cut", "match": {"endpoint": "GET /ws"}}, "cut acts on streams: match stream"),
        ({**GOOD, "action": "partial", "with": {"ratio": 0.3}}, 'ratio must be a text with at most eight decimals such as "0.5"'),
        (
            {
                **GOOD,
                "action": "human_order",
                "with": {"account": 1, "symbol": "A", "side": "BUY", "quantity": "1", "price": "1"},
            },
            "human_order needs a price exactly when its type is LIMIT",
        ),
    ],
)
def test_a_rule_that_makes_no_sense_is_explained(rule: Any, said: str) -> None:
    with pytest.raises(UnusableFaults) as caught:
        read_rule(rule)

    assert said in str(caught.value)


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "storm.faults"
    path.write_text('# A storm.\n\n{"seed": 9}\n{"id": "E03", "action": "drop_answer", "times": 2}\n')

    seed, [rule] = read_file(path)

    assert (seed, rule.id, rule.action, rule.times) == (9, "E03", "drop_answer", 2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 3: this is no JSON"),
        ('{"id": "E03", "action": "explode"}', "line 3: action 'explode' is unknown"),
        ('{"seed": "x"}', "line 3: seed must be a whole number"),
        ('{"id": "E41", "action": "halt", "with": {"symbol": "NOPE"}}', "line 3: NOPE is not listed here: write one of ADAUSDT"),
        (
            '{"id": "E41", "action": "filters", "with": {"symbol": "ETHUSDT", "tick": "0.00000001"}}',
            "line 3: tick and step must be above 0, and tick times step a multiple of 0.00000001",
        ),
    ],
)
def test_a_bad_file_stops_the_start_and_names_the_line(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "bad.faults"
    path.write_text(f"# Comment\n{json.dumps(GOOD)}\n{line}\n")
    command = [sys.executable, "-m", "venue", "--data-dir", str(tmp_path / "data"), "--faults", str(path), "--port", "1"]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)

    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableFaults, match="cannot be read"):
        read_file(tmp_path / "nowhere")


def test_the_faults_of_a_file_are_armed_from_the_first_request_on(tmp_path: Path) -> None:
    path = tmp_path / "storm.faults"
    path.write_text(
        '{"id": "E11", "action": "answer", "with": {"code": -1016}, "times": 1, "match": {"endpoint": "GET /api/v3/ping"}}'
    )
    venue = VenueProcess(tmp_path / "data", "--paused", "--faults", str(path))
    venue.start()
    try:
        answers = [venue.ask("GET", "/api/v3/ping") for _ in range(2)]
        shown = venue.control("GET", "/control/faults")
    finally:
        venue.stop()

    assert [answers[0][1]["code"], answers[1]] == [-1016, (200, {})]
    assert (shown["counts"], shown["rules"][0]["left"]) == ({"E11": 1}, 0)
    assert "fault E11 answer number=1" in (tmp_path / "venue.log").read_text()


def test_the_control_address_refuses_all_rules_if_one_makes_no_sense(synthetic_venue: VenueProcess) -> None:
    hostile = Hostile(synthetic_venue, "careful")
    body = {"rules": [GOOD, {**GOOD, "action": "explode"}]}

    status, answer = synthetic_venue.control_status("POST", "/control/faults", body)

    assert (status, "rule 2: action 'explode' is unknown" in answer["error"]) == (400, True)
    assert synthetic_venue.control("GET", "/control/faults")["rules"] == []
    assert "is not listed here" in hostile.refused({"id": "E40", "action": "delist", "with": {"symbol": "NOPE"}})
    assert synthetic_venue.control_status("POST", "/control/faults", {"what": 1})[0] == 400
    assert synthetic_venue.control_status("DELETE", "/control/faults/99")[0] == 404


def test_the_manual_names_every_action_and_its_example_is_good(tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "venue.md").read_text()
    section = manual.partition("## Faults")[2].partition("## Books")[0]
    example, table = section.split("```")[1], section.partition("| action |")[2]
    path = tmp_path / "example.faults"
    path.write_text(example)

    seed, rules = read_file(path)

    assert (seed, len(rules)) == (7, 5)
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    assert {name for names, _ in rows for name in re.findall(r"`(\w+)`", names)} == set(ACTIONS)
    told = {name: words for names, words in rows for name in re.findall(r"`(\w+)`", names)}
    assert [word for name, action in ACTIONS.items() for word in action.words if word not in told[name]] == []
