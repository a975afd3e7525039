"""All accounts of a master over the API."""

from __future__ import annotations

from portfolio.models import Account
from portfolio.selectors import account_overview
from tests.api.conftest import Api
from tests.portfolio.test_transfers import ask, sub  # noqa: F401 - a fixture.
from tests.portfolio.world import World
from trading.ledger import plain


def test_a_family_is_told_together_with_what_is_on_its_way(api: Api, world: World, sub: Account) -> None:  # noqa: F811
    ask(world, sub, "250.5")
    view = api.get("subaccounts").json()

    alone = account_overview(world.account_id)
    assert (view["equity"], view["pnl"], view["is_exact"]) == (plain(alone.equity), plain(alone.pnl), True)
    assert [(row["is_master"], row["equity"], row["in_transit"]) for row in view["accounts"]] == [
        (True, view["equity"], "250.5"),
        (False, "0", "0"),
    ]
    (moving,) = view["transfers"]
    assert (moving["amount"], moving["state"], moving["outcome"]) == ("250.5", "recorded", "")
    assert api.get(f"subaccounts?account={moving['receiver']}").json() == view
    # Where nobody says which account, the newest sub-account is not meant.
    assert api.get("mode").json()["account"] == world.account_id
