"""What the site has: its listing by the S3 protocol, or name by name where a mirror has no listing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET  # nosec B405

from .trouble import Unreachable
from .wire import Wire

PAGE_KEYS: Final = 1000
PAGES_MAX: Final = 10_000
_NAMESPACE: Final = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Listed(NamedTuple):
    """A file as the listing tells of it."""

    key: str
    size: int
    etag: str
    modified: str


class NoListing(Exception):
    """This server has no listing."""


def list_files(wire: Wire, listing_url: str, prefix: str) -> dict[str, Listed]:
    """List every file below a prefix, page by page."""
    found: dict[str, Listed] = {}
    marker = ""
    for _page in range(PAGES_MAX):
        root = _page_of(wire, listing_url, prefix, marker)
        page = [_listed(element) for element in root.iter(f"{_NAMESPACE}Contents")]
        found |= {file.key: file for file in page}
        if _text(root, "IsTruncated") != "true":
            return found
        following = _text(root, "NextMarker") or (page[-1].key if page else "")
        if following <= marker:
            raise Unreachable(f"The listing of {prefix} goes round in circles at {marker!r}.")
        marker = following
    raise Unreachable(f"The listing of {prefix} has no end.")


def list_folders(wire: Wire, listing_url: str, prefix: str) -> list[str]:
    """List the names of the folders right below a prefix."""
    names: list[str] = []
    marker = ""
    for _page in range(PAGES_MAX):
        root = _page_of(wire, listing_url, prefix, marker)
        folders = [_text(element, "Prefix") for element in root.iter(f"{_NAMESPACE}CommonPrefixes")]
        names += [folder.removeprefix(prefix).rstrip("/") for folder in folders]
        if _text(root, "IsTruncated") != "true" or not folders:
            return names
        marker = _text(root, "NextMarker") or folders[-1]
    return names


def address(base_url: str, key: str) -> str:
    """Answer where a file lies."""
    return f"{base_url}/{quote(key)}"


def named(keys: Mapping[str, Listed], prefix: str) -> dict[str, Listed]:
    """Answer the archives of a prefix by their labels (2024-01, 2024-01-31); checksums and strangers are left out."""
    labels: dict[str, Listed] = {}
    for key, file in keys.items():
        name = key.removeprefix(prefix)
        # SYMBOL-STREAM-LABEL.zip
        parts = name.removesuffix(".zip").split("-", 2)
        if name.endswith(".zip") and "/" not in name and len(parts) == 3:
            labels[parts[2]] = file
    return labels


def _page_of(wire: Wire, listing_url: str, prefix: str, marker: str) -> ET.Element:
    words = {"delimiter": "/", "prefix": prefix, "max-keys": str(PAGE_KEYS)} | ({"marker": marker} if marker else {})
    url = f"{listing_url}/?{urlencode(words)}"
    content = wire.get(url)
    if content is None:
        raise NoListing(f"{listing_url} has no listing")
    if b"<!DOCTYPE" in content[:1024].upper() or b"<!ENTITY" in content:
        # No listing declares a document type; entities could make a small answer huge.
        raise NoListing(f"{listing_url} answers with a page, not with a listing")
    try:
        root = ET.fromstring(content)  # noqa: S314  # nosec B314 - declarations were refused above.
    except ET.ParseError:
        raise NoListing(f"{listing_url} answers with something that is no listing") from None
    if root.tag != f"{_NAMESPACE}ListBucketResult":
        raise NoListing(f"{listing_url} answers with {root.tag!r}, not with a listing")
    return root


def _listed(element: ET.Element) -> Listed:
    size = _text(element, "Size")
    etag = _text(element, "ETag").strip('"')
    return Listed(_text(element, "Key"), int(size) if size.isdigit() else 0, etag, _text(element, "LastModified"))


def _text(element: ET.Element, name: str) -> str:
    return (element.findtext(f"{_NAMESPACE}{name}") or "").strip()
