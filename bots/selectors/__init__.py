"""What can be read about bots."""

from bots.selectors.remembered import remembered
from bots.selectors.rows import (
    ACTIVE,
    AccountUnclear,
    Indicators,
    Line,
    bots,
    due_bots_done,
    indicators,
    instrument_ids_of,
    instruments_of,
    last_close,
    lines,
    only_account,
    own_bots_done,
    pairs_of_bots,
    panel_of,
    running_pair,
)

__all__ = [
    "ACTIVE",
    "AccountUnclear",
    "Indicators",
    "Line",
    "bots",
    "due_bots_done",
    "indicators",
    "instrument_ids_of",
    "instruments_of",
    "last_close",
    "lines",
    "only_account",
    "own_bots_done",
    "pairs_of_bots",
    "panel_of",
    "remembered",
    "running_pair",
]
