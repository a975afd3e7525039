"""What faults do to a request and to its answer; how it is carried out belongs to the gates."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from venue.amounts import UNIT, IllegalAmount, TooPrecise, parse_signed, text
from venue.faults import answers
from venue.faults.answers import Answer
from venue.faults.book import Armed, Faults, Moment
from venue.faults.catalogue import REQUEST

_EDITS: Final = ("swap", "set", "scale", "stale")
_ORDER_ENDPOINTS: Final = ("POST /api/v3/order", "POST /api/v3/order/cancelReplace")


@dataclass(slots=True)
class Verdict:
    """What becomes of one request."""

    wait_before: float = 0.0
    wait_after: float = 0.0
    # Seconds of silence before the connection is cut; none if it is not.
    cut_before: float | None = None
    cut_after: float | None = None
    instead: Answer | None = None
    # Given in place of the answer of a request that was carried out.
    in_place: Answer | None = None
    mangle: dict[str, Any] | None = None
    edits: list[Armed] = field(default_factory=list)


def judge(faults: Faults, moment: Moment) -> Verdict:
    """Ask every rule about a request once."""
    verdict = Verdict()
    for item in faults.lasting("block", moment):
        if _concerns(item, moment):
            verdict.instead = answers.blocked(item.rule.words["kind"], item.until_ms, faults.wall_ms())
    if verdict.instead is not None:
        return verdict
    for item in faults.ask(REQUEST, moment, concerns=lambda item: _concerns(item, moment)):
        if item.rule.action == "block":
            verdict.instead = answers.blocked(item.rule.words["kind"], item.until_ms, faults.wall_ms())
        else:
            _APPLY[item.rule.action](verdict, item)
    return verdict


def edited(result: Any, edits: list[Armed], moment: Moment) -> Any:
    """Return an answer as the rules have it."""
    for item in edits:
        words, action = item.rule.words, item.rule.action
        if action == "swap":
            result = _swapped(result, words["of"], item)
        elif action == "stale":
            result = _stale(result, item, moment)
        else:
            result = _rewritten(result, item)
    return result


def remember(faults: Faults, moment: Moment, result: Any) -> None:
    """Keep an answer for rules that will give it again to somebody who asks the same or something else."""
    for item in faults.armed:
        if item.rule.action in ("stale", "swap") and not item.is_spent:
            item.memory.setdefault(_question(moment), json.dumps(result))
            item.memory["last"] = json.dumps(result)


def rewrite(row: dict[str, Any], words: dict[str, Any], *, scales: bool) -> None:
    """Set or multiply fields of a message; k.c means the field c inside k. What is not there is left alone."""
    for path in words["fields"]:
        *parents, name = path.split(".")
        place: Any = row
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if isinstance(place, dict) and (name in place or not scales):
            place[name] = _scaled(place[name], words["factor"]) if scales else words["fields"][path]


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value * factor
    try:
        # The factor is a fault, not money: its own rounding is of no interest.
        return text(parse_signed(value) * round(factor * UNIT) // UNIT)
    except (IllegalAmount, TooPrecise, TypeError, AttributeError):
        return value


def _concerns(item: Armed, moment: Moment) -> bool:
    """Rows are hidden one by one, later; too many orders is no refusal of anything else."""
    if item.rule.action == "hide":
        return False
    return item.rule.words.get("kind") != "orders" or bool(item.rule.endpoints) or moment.endpoint in _ORDER_ENDPOINTS


def _drop_request(verdict: Verdict, item: Armed) -> None:
    verdict.cut_before = item.rule.words.get("hang_seconds", 0.0)


def _drop_answer(verdict: Verdict, item: Armed) -> None:
    verdict.cut_after = item.rule.words.get("hang_seconds", 0.0)


def _delay(verdict: Verdict, item: Armed) -> None:
    if item.rule.words.get("stage", "before") == "before":
        verdict.wait_before += item.rule.words["seconds"]
    else:
        verdict.wait_after += item.rule.words["seconds"]


def _answer(verdict: Verdict, item: Armed) -> None:
    words = item.rule.words
    status, headers = words.get("status"), words.get("headers", {})
    if "body" in words:
        made = answers.written(words["body"], status, headers)
    elif "code" in words:
        made = answers.coded(words["code"], words.get("msg"), status, headers)
    else:
        made = answers.page(status or 503, headers)
    if words.get("stage", "before") == "before":
        verdict.instead = made
    else:
        verdict.in_place = made


def _mangle(verdict: Verdict, item: Armed) -> None:
    verdict.mangle = item.rule.words


def _edit(verdict: Verdict, item: Armed) -> None:
    verdict.edits.append(item)


_APPLY: Final = {
    "drop_request": _drop_request, "drop_answer": _drop_answer, "delay": _delay, "answer": _answer, "mangle": _mangle,
    **dict.fromkeys(_EDITS, _edit),
}  # fmt: skip


def _rewritten(result: Any, item: Armed) -> Any:
    scales = item.rule.action == "scale"
    for row in result if isinstance(result, list) else [result]:
        if isinstance(row, dict):
            rewrite(row, item.rule.words, scales=scales)
    return result


def _swapped(result: Any, part: str, item: Armed) -> Any:
    """Give somebody else's answer: the last one given, or this one under another name."""
    if part == "other" and "last" in item.memory:
        return json.loads(item.memory["last"])
    for row in result if isinstance(result, list) else [result]:
        if not isinstance(row, dict):
            continue
        if part == "symbol" and "symbol" in row:
            row["symbol"] = "BTCUSDT" if row["symbol"] != "BTCUSDT" else "ETHUSDT"
        if part in ("client_id", "other") and "clientOrderId" in row:
            row["clientOrderId"] = f"x-{row['clientOrderId'][::-1]}"[:36]
    return result


def _stale(result: Any, item: Armed, moment: Moment) -> Any:
    """Give the first answer to this question since the rule was armed; of an order never asked for, its first state."""
    kept = item.memory.get(_question(moment))
    if kept is not None:
        return json.loads(kept)
    for row in result if isinstance(result, list) else [result]:
        if isinstance(row, dict) and "executedQty" in row and "updateTime" in row:
            row |= {"status": "NEW", "executedQty": text(0), "cummulativeQuoteQty": text(0), "updateTime": row["time"]}
    return result


def _question(moment: Moment) -> str:
    return f"{moment.uid} {moment.endpoint} {moment.symbol} {moment.client_id}"
