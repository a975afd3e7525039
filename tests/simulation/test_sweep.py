"""The exhaustive sweep: no place to die and no fate of an order breaks an invariant."""

from __future__ import annotations

import pytest

from tests.simulation.faults import POINTS
from tests.simulation.sweep import CASES, FATES, Case, Swept

IDS = {
    "before_sending": ("C02",),
    "after_sending": ("C03",),
    "request_written": ("C04",),
    "answer_on_its_way": ("C05",),
    "after_answer": ("C06",),
    "after_recorded": ("C07",),
    "after_trouble": ("C07",),
    "between_fills": ("C08", "C09"),
    "before_cancel": ("C10",),
    "after_cancel_marked": ("C10",),
    "cancel_written": ("C10",),
    "after_cancel_answer": ("C11",),
    "after_gap_fill": ("C09",),
    "during_reconcile": ("C12",),
    "in_recovery": ("C12",),
    "before_active": ("C12",),
    "during_kill": ("C15",),
}


def test_the_sweep_is_whole() -> None:
    assert len(CASES) == len(POINTS) * len(FATES) * 2 == 204
    assert set(IDS) == set(POINTS)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.fault(*IDS[case.point])) for case in CASES],
    ids=lambda case: f"{case.point}-{case.fate}-{case.crashes}",
)
def test_no_crash_breaks_an_invariant(case: Case) -> None:
    swept = Swept(case)
    result = swept.run()
    deaths = sum(result.crashes.values()) - result.crashes["anywhere"]
    assert deaths == case.crashes, f"{result.crashes}: the trader did not die where it should"
    assert result.statuses.total() >= 5
