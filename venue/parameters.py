"""The parameters of a request: read as sent, each at most once, none left over."""

import re
from typing import Final
from urllib.parse import unquote_plus

from venue.amounts import LEGAL_RANGE, IllegalAmount, TooPrecise, parse
from venue.errors import (
    ApiError,
    duplicate_parameter,
    empty_parameter,
    illegal_characters,
    missing_parameter,
    too_precise,
    unread_parameters,
)

SYMBOL_RANGE: Final = "^[A-Z0-9-_.]{1,20}$"
CLIENT_ID_RANGE: Final = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
WHOLE_RANGE: Final = "^[0-9]{1,20}$"
_SYMBOL = re.compile(r"[A-Z0-9\-_.]{1,20}", re.ASCII)
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)
_LARGEST_WHOLE: Final = 2**63 - 1


class Parameters:
    """What was sent. Reading a parameter takes note of it, so that what nobody read can be refused."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str | None:
        """Read a parameter, if it was sent; an empty one is refused."""
        self._read.add(name)
        value = self._values.get(name)
        if value == "":
            raise empty_parameter(name)
        return value

    def required(self, name: str) -> str:
        """Read a parameter that must be there."""
        self._read.add(name)
        value = self._values.get(name)
        if not value:
            raise missing_parameter(name)
        return value

    def symbol(self, name: str = "symbol") -> str:
        """Read a symbol that must be there."""
        return _in_range(name, self.required(name), _SYMBOL, SYMBOL_RANGE)

    def optional_symbol(self) -> str | None:
        """Read a symbol, if it was sent."""
        value = self.text("symbol")
        return None if value is None else _in_range("symbol", value, _SYMBOL, SYMBOL_RANGE)

    def client_id(self, name: str) -> str | None:
        """Read a client order id, if it was sent."""
        value = self.text(name)
        return None if value is None else _in_range(name, value, _CLIENT_ID, CLIENT_ID_RANGE)

    def whole(self, name: str) -> int | None:
        """Read a whole number, if it was sent."""
        value = self.text(name)
        if value is None:
            return None
        number = int(_in_range(name, value, _WHOLE, WHOLE_RANGE))
        if number > _LARGEST_WHOLE:
            raise ApiError(-1108, f"Parameter '{name}' overflowed.")
        return number

    def limit(self, *, default: int, largest: int) -> int:
        """Read how many rows are wanted; more than the largest means the largest."""
        number = self.whole("limit")
        if number == 0:
            raise illegal_characters("limit", WHOLE_RANGE)
        return min(default if number is None else number, largest)

    def amount(self, name: str) -> int | None:
        """Read an amount above zero as units, if it was sent."""
        value = self.text(name)
        if value is None:
            return None
        try:
            units = parse(value)
        except IllegalAmount:
            raise illegal_characters(name, LEGAL_RANGE) from None
        except TooPrecise:
            raise too_precise(name) from None
        if units == 0:
            raise ApiError(-1013, f"Invalid {name}.")
        return units

    def choice(self, name: str, known: tuple[str, ...], refusal: ApiError) -> str | None:
        """Read one of some words, if it was sent."""
        value = self.text(name)
        if value is not None and value not in known:
            raise refusal
        return value

    def refuse_unread(self) -> None:
        """Refuse the request if it holds anything that nobody read."""
        read = len(self._read & set(self._values))
        if read < len(self._values):
            raise unread_parameters(read=read, sent=len(self._values))


def read_pairs(*parts: str) -> dict[str, str]:
    """Read query string and body as sent; a parameter that comes twice is refused."""
    values: dict[str, str] = {}
    for part in parts:
        for pair in part.split("&"):
            if not pair:
                continue
            name, _, value = pair.partition("=")
            name = unquote_plus(name)
            if name in values:
                raise duplicate_parameter()
            values[name] = unquote_plus(value)
    return values


def _in_range(name: str, value: str, pattern: re.Pattern[str], legal: str) -> str:
    if pattern.fullmatch(value) is None:
        raise illegal_characters(name, legal)
    return value
