"""Examples of what the API says: those that schemas bring along, and answers put together from the words of the trade."""

from __future__ import annotations

from typing import Any, Final

REFERENCE: Final = "#/components/schemas/"
_MOMENT: Final = "2026-01-05T12:00:00Z"
# What a field of this name looks like; a field that is not here shows its name in angle brackets.
_WORDS: Final = {
    "action": "enter",
    "actor": "ada@example.org",
    "address": "127.0.0.1",
    "after": "GridTrading",
    "agent": "Mozilla/5.0",
    "allocation_mode": "percentage",
    "asset": "BTC",
    "base": "BTC",
    "before": "MeanReversion",
    "book": "MeanReversion",
    "bot": "MeanReversion",
    "cause": "schedule",
    "client_order_id": "t1-1-8f3k2a-0",
    "code": "CAPITAL_INSUFFICIENT",
    "email": "ada@example.org",
    "exchange": "binance",
    "fate": "sold",
    "fee_asset": "USDT",
    "figure": "sharpe",
    "intent": "enter",
    "interval": "5m",
    "key": "MEAN_REVERSION",
    "key_last4": "7f2c",
    "kind": "fill",
    "mode": "paper",
    "name": "MeanReversion",
    "outcome": "approved",
    "phase": "settled",
    "policy": "flatten",
    "quote": "USDT",
    "quote_asset": "USDT",
    "reason": "SIGNAL_CROSS_UP",
    "role": "operator",
    "rotation": "mon-fri 08:00-14:00 GridTrading wait 30m",
    "scopes": "read",
    "side": "buy",
    "state": "active",
    "status": "open",
    "strategy": "mean_reversion",
    "symbol": "BTC/USDT",
    "symbols": "BTC/USDT",
    "zone": "Europe/Berlin",
}


def example(schema: dict[str, Any], parts: dict[str, Any], name: str = "") -> Any:
    """Return something that a schema accepts; `name` is the field that holds it."""
    schema = parts[schema["$ref"].removeprefix(REFERENCE)] if "$ref" in schema else schema
    if "examples" in schema:
        return schema["examples"][0]
    if "anyOf" in schema:
        # What is there says more than what is not.
        return next(example(one, parts, name) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, parts)
    if kind == "array":
        return _array(schema, parts, name)
    if kind == "string":
        return _text(schema, name)
    plain: dict[Any, Any] = {"integer": max(1, schema.get("minimum", 1)), "number": 1.5, "boolean": True}
    return plain.get(kind)


def _object(schema: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    if "properties" in schema:
        return {name: example(one, parts, name) for name, one in schema["properties"].items()}
    inner = schema.get("additionalProperties")
    return {"BTC": example(inner, parts)} if isinstance(inner, dict) else {}


def _array(schema: dict[str, Any], parts: dict[str, Any], name: str) -> list[Any]:
    if "prefixItems" in schema:
        return [example(one, parts, name) for one in schema["prefixItems"]]
    return [example(schema.get("items", {}), parts, name)]


def _text(schema: dict[str, Any], name: str) -> str:
    if "format" in schema:
        return _MOMENT if schema["format"] == "date-time" else _MOMENT[:10]
    return _WORDS.get(name, f"<{name}>" if name else "")
