"""Score short texts by the words in them, and find which coins they are about. Coarse on purpose: nobody trades on it alone."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[a-z]+(?:-[a-z]+)?")
_GOOD: Final = frozenset(
    _WORD.findall(
        """
    adoption approval approve approved breakout bull bullish buy climb climbs gain gains growth high inflow
    inflows jump jumps launch partnership rally rallies rebound record recover recovers rise rises soar soars
    surge surges upgrade win wins
        """
    )
)
_BAD: Final = frozenset(
    _WORD.findall(
        """
    attack ban bans bankrupt bankruptcy bear bearish breach collapse crash crashes crackdown decline declines
    delist drop drops exploit fall falls fraud freeze hack hacked halt lawsuit liquidation liquidations lose loss
    losses low outflow outflows plunge plunges probe scam sell selloff slump stolen sue sues tumble tumbles warn
    warning
        """
    )
)
_NOT: Final = frozenset(
    _WORD.findall(
        """
    no not never without denies deny
        """
    )
)
_COINS: Final = {
    "bitcoin": "BTC", "btc": "BTC", "ethereum": "ETH", "ether": "ETH", "eth": "ETH", "solana": "SOL", "sol": "SOL", "xrp": "XRP",
    "ripple": "XRP", "cardano": "ADA", "ada": "ADA", "dogecoin": "DOGE", "doge": "DOGE", "litecoin": "LTC", "ltc": "LTC",
    "bnb": "BNB", "tether": "USDT", "usdt": "USDT",
}  # fmt: skip
TEXT_MAX: Final = 2000


def score(text: str) -> float:
    """Return a figure from -1 (bad) to 1 (good); nought where no word is known."""
    words = _WORD.findall(text[:TEXT_MAX].lower().replace("sell-off", "selloff"))
    total = known = 0
    for place, word in enumerate(words):
        worth = (word in _GOOD) - (word in _BAD)
        if worth:
            known += 1
            total += -worth if place and words[place - 1] in _NOT else worth
    return total / known if known else 0.0


def coins(text: str) -> list[str]:
    """Name the coins that a text speaks of, each once, in order."""
    return list(dict.fromkeys(_COINS[word] for word in _WORD.findall(text[:TEXT_MAX].lower()) if word in _COINS))
