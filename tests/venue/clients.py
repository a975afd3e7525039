"""Real ccxt clients, unmodified but for their addresses."""

from typing import Any

REST_HOSTS = ("public", "private", "v1")
SAPI = ("sapi", "sapiV2", "sapiV3", "sapiV4")


def settings(address: str, keys: dict[str, str] | None = None) -> dict[str, Any]:
    """Return what a ccxt client is made with to talk to the exchange at `address`."""
    api: dict[str, Any] = {
        "public": f"http://{address}/api/v3",
        "private": f"http://{address}/api/v3",
        "v1": f"http://{address}/api/v1",
        **{name: f"http://{address}/sapi/{'v1' if name == 'sapi' else name[-2:].lower()}" for name in SAPI},
        "ws": {"spot": f"ws://{address}/ws", "ws-api": {"spot": f"ws://{address}/ws-api/v3"}},
    }
    return {
        "apiKey": (keys or {}).get("api_key"),
        "secret": (keys or {}).get("api_secret"),
        "urls": {"api": api},
        "options": {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "fetchCurrencies": False},
        "has": {"fetchCurrencies": False},
        "enableRateLimit": False,
    }


def make(kind: type, address: str, keys: dict[str, str] | None = None) -> Any:
    """Make a client of this ccxt class; no other address is left in it."""
    client = kind(settings(address, keys))
    client.has["fetchCurrencies"] = False
    client.urls["api"] = settings(address, keys)["urls"]["api"]
    return client
