"""A trader that begins again and again, as with a key that is refused, keeps nothing of its earlier sessions."""

from __future__ import annotations

import gc
import weakref

from portfolio.trader import life


class Session:
    """Something that refers to itself, as every client with callbacks does."""

    def __init__(self) -> None:
        self.itself = self


def test_what_an_earlier_session_has_left_is_collected_when_the_next_one_begins() -> None:
    session = Session()
    left = weakref.ref(session)
    try:
        life.settle_memory()
        del session
        gc.collect()
        assert left() is not None, "what is settled is looked at no more"

        life.settle_memory()

        assert left() is None
    finally:
        gc.unfreeze()
