"""Which faults a history may meet, how likely each is where it can strike, and how often each has struck."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Final

# Fault class: (chance each time it could strike, faults of the catalogue that it stands for).
CLASSES: Final[dict[str, tuple[float, str]]] = {
    "request_lost": (0.10, "E02"),
    "response_lost": (0.12, "E03 E04"),
    "request_late": (0.10, "E05"),
    "request_expired": (0.06, "E06"),
    "server_error": (0.08, "E09 E10"),
    "refused": (0.06, "E12 E14 E21 E23"),
    "answer_cut": (0.06, "E07 E08"),
    "lag_short": (0.25, "E30"),
    "lag_long": (0.08, "E30"),
    "list_omits": (0.15, "E31"),
    "read_stale": (0.15, "E32"),
    "read_fails": (0.008, "E09 E46"),
    "cancel_request_lost": (0.15, "E27"),
    "cancel_response_lost": (0.20, "E27 E25"),
    "stream_cut": (0.05, "U01 U06"),
    "stream_repeats": (0.25, "U02 U11"),
    "stream_shuffled": (0.30, "U03"),
    "stream_slow": (0.25, "U07 U09"),
    "market_thin": (1.00, "E36 E37"),
    "fees_switch": (0.10, "E38"),
    "fees_in_quote": (1.00, "I-08"),
    "takers_give_way": (1.00, "E37"),
    "stop_passed": (0.25, "E22"),
    "market_closed": (0.02, "E21 E36"),
    "flows": (0.05, "E42"),
    "hand_trade": (0.03, "E43"),
    "hand_cancel": (0.05, "E43"),
    "kill": (0.02, "C15"),
    "allocation": (0.06, "C14"),
    "crash": (0.010, "C02 C03 C05 C06 C07 C09 C10 C11 C12"),
    "crash_in_recovery": (0.25, "C01-C12 twice"),
    "crash_anywhere": (0.015, "C04 C18"),
    "zombie": (0.015, "C20 R13"),
    "database_lost": (0.002, "D03"),
    "commit_unknown": (0.002, "D04"),
}
# Kinds of exchange rather than faults, the same through a history: one takes the fee of a buy in quote, one knows no way but
# `EXPIRE_TAKER` when two orders of an account meet. Each with the word by which it is drawn, and its share of the histories.
QUOTE_FEES: Final = "fees_in_quote"
TAKERS_GIVE_WAY: Final = "takers_give_way"
KINDS: Final[dict[str, tuple[str, float]]] = {QUOTE_FEES: ("fees", 0.15), TAKERS_GIVE_WAY: ("prevention", 0.1)}
# A fault that came later than the histories that once broke something: they are to stay what they were.
STOP_PASSED: Final = "stop_passed"
DRAWN_APART: Final = KINDS | {STOP_PASSED: ("passing", 0.3)}
# The places of the order path at which a trader can die.
POINTS: Final = (
    "before_sending", "after_sending", "request_written", "answer_on_its_way", "after_answer", "after_recorded", "after_trouble",
    "between_fills", "before_cancel", "after_cancel_marked", "cancel_written", "after_cancel_answer", "after_gap_fill",
    "during_reconcile", "in_recovery", "before_active", "during_kill",
)  # fmt: skip
# After these a trader has nothing more to tell apart: they are met in recovery or after a kill alone.
_RARE: Final = {"in_recovery": 8.0, "before_active": 8.0, "during_kill": 20.0, "between_fills": 3.0, "during_reconcile": 3.0}


class Faults:
    """A swarm: the subset of faults that one history knows."""

    def __init__(self, random: Random, *, seed: int = 0, allowed: frozenset[str] | None = None) -> None:
        """Draw the subset; some histories know every fault, some hardly any."""
        self.random = random
        share = random.choice((0.2, 0.5, 0.5, 0.8, 1.0))
        self.known = frozenset(name for name in CLASSES if name not in DRAWN_APART and random.random() < share)
        # A history without a crash proves little: half of those that drew none get one after all.
        if not self.known & {"crash", "crash_anywhere"} and random.random() < 0.8:
            self.known |= {"crash"}
        # Drawn apart, so that a seed's history without it is what it always was.
        self.known |= {kind for kind, (word, part) in DRAWN_APART.items() if Random(f"{word} of {seed}").random() < part}
        if allowed is not None:
            self.known &= allowed
        self.fired: Counter[str] = Counter()
        self.crashed_at: Counter[str] = Counter()
        self.is_healed = False

    def strikes(self, name: str) -> bool:
        """Say whether a fault strikes now."""
        if self.is_healed or name not in self.known or self.random.random() >= CLASSES[name][0]:
            return False
        self.fired[name] += 1
        return True

    def kills_at(self, point: str, *, is_recovering: bool) -> bool:
        """Say whether the trader dies at this point."""
        if self.is_healed or "crash" not in self.known:
            return False
        chance = CLASSES["crash"][0] * _RARE.get(point, 1.0)
        if is_recovering and "crash_in_recovery" in self.known:
            chance = max(chance, CLASSES["crash_in_recovery"][0] / 4)
        if self.random.random() >= chance:
            return False
        self.fired["crash"] += 1
        if is_recovering:
            self.fired["crash_in_recovery"] += 1
        self.crashed_at[point] += 1
        return True
