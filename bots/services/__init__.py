"""What a person may ask of bots."""

from bots.services.creating import create_bot, create_lineup
from bots.services.modes import (
    ReadRotation,
    Wish,
    even_rotation,
    preview_switch,
    read_rotation,
    read_seed,
    rotation_in_words,
    seed_mode,
    switch_mode,
)
from bots.services.operating import UnableToOperate, flatten_bot, pause_bot, resume_bot, start_bot, stop_bot
from bots.services.pairs import PlannedPair, create_pair
from bots.services.shares import read_shares, set_shares

__all__ = [
    "PlannedPair",
    "ReadRotation",
    "UnableToOperate",
    "Wish",
    "create_bot",
    "create_lineup",
    "create_pair",
    "even_rotation",
    "flatten_bot",
    "pause_bot",
    "preview_switch",
    "read_rotation",
    "read_seed",
    "read_shares",
    "resume_bot",
    "rotation_in_words",
    "seed_mode",
    "set_shares",
    "start_bot",
    "stop_bot",
    "switch_mode",
]
