"""Sources that are words: news by RSS, a provider with a key, a forum. Texts are scored and forgotten: only addresses stay."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree as ET  # nosec B405 - documents that declare anything are refused first.

from marketdata.sources import lexicon
from marketdata.sources.figures import moment, read_json
from marketdata.sources.plugin import MARKET, KeyMissing, Observation, Question, Schema, Unreadable

_UNREADABLE: Final = (KeyError, TypeError, ValueError, IndexError, OverflowError, OSError)
_ATOM: Final = "{http://www.w3.org/2005/Atom}"
_NOISE: Final = re.compile(r"[^a-z0-9]+")
MOOD: Final = Schema("from bad to good", -1, 1)


class NewsFeeds:
    """Headlines of RSS and Atom feeds, scored by a small lexicon."""

    says = "The mood of headlines, by the coins they name."
    name, version, licence, key_name = "news", "1", "each feed's own; only addresses are kept", ""
    cadence, max_age = timedelta(minutes=10), timedelta(hours=12)
    urls: tuple[str, ...] = ("https://www.coindesk.com/arc/outboundfeeds/rss/", "https://cointelegraph.com/rss")

    def schema(self) -> Schema:
        """Return what its values are."""
        return MOOD

    def addresses(self, _question: Question) -> list[str]:
        """Ask for every feed."""
        return list(self.urls)

    def parse(self, raw: bytes) -> Sequence[Observation]:
        """Read items or entries; the same story in two feeds is one story."""
        found: dict[tuple[str, str], Observation] = {}
        for item in _items(raw):
            title, link = _text(item, "title"), _link(item)
            said = _text(item, "pubDate") or _text(item, "published") or _text(item, "updated")
            if not title or not link or (at := _date(said)) is None:
                continue
            for one in mentions(title, at=at, reference=canonical(link), key=headline_key(title)):
                found.setdefault((one.entity, one.key), one)
        return list(found.values())


class CryptoPanic:
    """News that readers vote on; votes change after publication, so what was known when is kept."""

    says = "How readers vote on news of a coin."
    name, version, licence, key_name = "cryptopanic", "1", "terms of cryptopanic.com", "CRYPTOPANIC_TOKEN"
    cadence, max_age = timedelta(minutes=5), timedelta(hours=6)
    url = "https://cryptopanic.com/api/v1/posts/"

    def schema(self) -> Schema:
        """Return what its values are."""
        return MOOD

    def addresses(self, question: Question) -> list[str]:
        """Ask for the newest posts."""
        if not question.key:
            raise KeyMissing(f"Set {self.key_name} to use {self.name}.")
        return [f"{self.url}?{urlencode({'auth_token': question.key, 'public': 'true', 'kind': 'news'})}"]

    def parse(self, raw: bytes) -> Sequence[Observation]:
        """Read posts: the balance of votes where there are any, the headline's words otherwise."""
        content = read_json(raw)
        found = []
        try:
            for post in content["results"]:
                votes = post.get("votes") or {}
                good, bad = (int(votes.get(name, 0)) for name in ("positive", "negative"))
                value = (good - bad) / (good + bad) if good + bad else lexicon.score(str(post["title"]))
                named = [str(coin["code"])[:16].upper() for coin in post.get("currencies") or []] or [MARKET]
                at = datetime.fromisoformat(str(post["published_at"]))
                if at.tzinfo is None:
                    raise ValueError(f"{at} has no zone")
                key = f"post-{int(post['id'])}"
                found += [
                    Observation(entity=name, event_at=at, available_at=None, value=value, key=key, reference=key)
                    for name in named
                ]
        except (*_UNREADABLE, AttributeError) as error:
            raise Unreadable(f"No posts: {error!r}") from error
        return found


class Reddit:
    """The newest titles of a forum: only scores and ids are kept."""

    says = "The mood of titles in two forums, by the coins they name."
    name, version, licence, key_name = "reddit", "1", "terms of reddit.com; only scores and ids are kept", ""
    cadence, max_age = timedelta(minutes=15), timedelta(hours=6)
    forums: tuple[str, ...] = ("Bitcoin", "CryptoCurrency")

    def schema(self) -> Schema:
        """Return what its values are."""
        return MOOD

    def addresses(self, _question: Question) -> list[str]:
        """Ask for each forum."""
        return [f"https://www.reddit.com/r/{forum}/new.json?limit=100" for forum in self.forums]

    def parse(self, raw: bytes) -> Sequence[Observation]:
        """Read posts."""
        content = read_json(raw)
        found: list[Observation] = []
        try:
            for child in content["data"]["children"]:
                post = child["data"]
                at, name = moment(float(post["created_utc"])), str(post["name"])[:32]
                found += mentions(str(post["title"]), at=at, reference=name, key=name)
        except (*_UNREADABLE, AttributeError) as error:
            raise Unreadable(f"No posts: {error!r}") from error
        return found


def mentions(title: str, *, at: datetime, reference: str, key: str) -> list[Observation]:
    """Turn a headline into one observation of each coin it names, or of the market. It is known when we see it."""
    value = lexicon.score(title)
    return [
        Observation(entity=name, event_at=at, available_at=None, value=value, key=key, reference=reference)
        for name in lexicon.coins(title) or [MARKET]
    ]


def canonical(url: str) -> str:
    """Write an address without what tells only where the reader came from."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https"):
        return ""
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))[:200]


def headline_key(title: str) -> str:
    """Name a story by its words, so that two feeds that tell it tell it once."""
    return hashlib.sha256(_NOISE.sub(" ", title.lower()).strip().encode()).hexdigest()[:32]


def _items(raw: bytes) -> list[ET.Element]:
    # Entities can name files or grow without bound; no feed needs any.
    if b"<!" in raw.replace(b"<![CDATA[", b"").replace(b"<!--", b""):
        raise Unreadable("The document declares types or entities.")
    try:
        root = ET.fromstring(raw)  # noqa: S314  # nosec B314 - see above.
    except ET.ParseError as error:
        raise Unreadable(f"No feed: {raw[:60]!r}") from error
    found = root.findall("./channel/item") or root.findall(f"./{_ATOM}entry")
    if not found and root.find("./channel") is None and root.tag != f"{_ATOM}feed":
        raise Unreadable(f"No feed: {root.tag[:60]}")
    return found


def _text(item: ET.Element, name: str) -> str:
    return (item.findtext(name) or item.findtext(f"{_ATOM}{name}") or "").strip()


def _link(item: ET.Element) -> str:
    if text := _text(item, "link"):
        return canonical(text)
    link = item.find(f"{_ATOM}link")
    return canonical(link.get("href", "")) if link is not None else ""


def _date(text: str) -> datetime | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            at: datetime = read(text)
        except (ValueError, TypeError, IndexError):
            continue
        return (at if at.tzinfo else at.replace(tzinfo=UTC)) if 2009 <= at.year < 2100 else None
    return None
