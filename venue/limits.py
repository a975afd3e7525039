"""Request weight and order counts, in windows of wall time."""

from dataclasses import dataclass, field
from typing import Any, Final

from venue.errors import ApiError, banned, too_many_orders, too_much_weight

MINUTE: Final = 60
TEN_SECONDS: Final = 10
DAY: Final = 86_400
# Whoever goes on asking after a 429 is banned: two minutes at first, three days at most.
REFUSALS_BEFORE_BAN: Final = 10
BAN_SECONDS_MIN: Final = 120
BAN_SECONDS_MAX: Final = 3 * DAY
_BAN_FACTOR: Final = 4
# The documented ratio between the two order limits.
_DAY_LIMIT_FACTOR: Final = 3_200


@dataclass(slots=True)
class Window:
    """How much was used in the present window."""

    number: int = -1
    used: int = 0

    def add(self, amount: int, number: int) -> int:
        """Count in the window of this number and return what is used of it."""
        if number != self.number:
            self.number, self.used = number, 0
        self.used += amount
        return self.used


@dataclass(slots=True)
class Offence:
    """How an address has behaved after it was refused."""

    refusals: Window = field(default_factory=Window)
    bans: int = 0
    banned_until: float = 0.0


@dataclass(slots=True)
class Limits:
    """What one address and one account may use."""

    weight_limit: int
    order_limit: int
    _weights: dict[str, Window] = field(default_factory=dict)
    _offences: dict[str, Offence] = field(default_factory=dict)
    _short: dict[int, Window] = field(default_factory=dict)
    _long: dict[int, Window] = field(default_factory=dict)

    def use_weight(self, address: str, weight: int, now_seconds: float) -> int:
        """Count a request; refuse it beyond the limit."""
        offence = self._offences.get(address)
        if offence is not None and now_seconds < offence.banned_until:
            raise _banned(offence, now_seconds)
        window = self._weights.setdefault(address, Window())
        used = window.add(weight, int(now_seconds) // MINUTE)
        if used > self.weight_limit:
            self._punish(address, now_seconds)
            raise too_much_weight(limit=self.weight_limit, retry_after=MINUTE - int(now_seconds) % MINUTE)
        return used

    def _punish(self, address: str, now_seconds: float) -> None:
        """Count a refusal; ban an address that does not listen, longer each time."""
        offence = self._offences.setdefault(address, Offence())
        if offence.refusals.add(1, int(now_seconds) // MINUTE) <= REFUSALS_BEFORE_BAN:
            return
        offence.banned_until = now_seconds + min(BAN_SECONDS_MIN * _BAN_FACTOR**offence.bans, BAN_SECONDS_MAX)
        offence.bans += 1
        raise _banned(offence, now_seconds)

    def weight_used(self, address: str) -> int:
        """Return what an address has used of its minute."""
        return self._weights.setdefault(address, Window()).used

    def use_order(self, uid: int, now_seconds: float) -> tuple[int, int]:
        """Count a new order; refuse it beyond the limit."""
        moment = int(now_seconds)
        short = self._short.setdefault(uid, Window()).add(1, moment // TEN_SECONDS)
        long = self._long.setdefault(uid, Window()).add(1, moment // DAY)
        if short > self.order_limit:
            raise too_many_orders(limit=self.order_limit, interval="10 SECOND", retry_after=TEN_SECONDS - moment % TEN_SECONDS)
        return short, long

    def orders_used(self, uid: int) -> tuple[int, int]:
        """Return an account's order counts of ten seconds and of a day."""
        return self._short.setdefault(uid, Window()).used, self._long.setdefault(uid, Window()).used

    def rules(self) -> list[dict[str, Any]]:
        """Describe the limits as exchangeInfo does."""
        return [
            _rule("REQUEST_WEIGHT", "MINUTE", 1, self.weight_limit),
            _rule("ORDERS", "SECOND", TEN_SECONDS, self.order_limit),
            _rule("ORDERS", "DAY", 1, self.order_limit * _DAY_LIMIT_FACTOR),
            _rule("RAW_REQUESTS", "MINUTE", 5, self.weight_limit),
        ]


def _banned(offence: Offence, now_seconds: float) -> ApiError:
    left = offence.banned_until - now_seconds
    return banned(until_ms=int(offence.banned_until * 1000), retry_after=max(1, int(left)))


def _rule(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
