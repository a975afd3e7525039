"""What a person may ask of bots."""

from bots.services.creating import create_bot, create_lineup
from bots.services.operating import UnableToOperate, flatten_bot, pause_bot, resume_bot, start_bot, stop_bot
from bots.services.shares import MODES, ModeNotBuilt, demand_built, read_shares, set_shares

__all__ = [
    "MODES",
    "ModeNotBuilt",
    "UnableToOperate",
    "create_bot",
    "create_lineup",
    "demand_built",
    "flatten_bot",
    "pause_bot",
    "read_shares",
    "resume_bot",
    "set_shares",
    "start_bot",
    "stop_bot",
]
