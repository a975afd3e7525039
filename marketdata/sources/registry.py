"""All sources there are, by name. A new one is a class and a line here."""

from __future__ import annotations

from typing import Final

from marketdata.sources.figures import FearAndGreed, Funding, StablePremium
from marketdata.sources.plugin import SignalSource
from marketdata.sources.words import CryptoPanic, NewsFeeds, Reddit

SOURCES: Final[dict[str, SignalSource]] = {
    source.name: source for source in (FearAndGreed(), Funding(), StablePremium(), NewsFeeds(), CryptoPanic(), Reddit())
}


class UnknownSource(LookupError):
    """Raised for a source that nobody has written."""

    code = "SOURCE_UNKNOWN"


def source_named(name: str) -> SignalSource:
    """Return a source, or say which there are."""
    if name not in SOURCES:
        raise UnknownSource(f"There is no source {name!r}. Known: {', '.join(sorted(SOURCES))}.")
    return SOURCES[name]
