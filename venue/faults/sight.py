"""What is out of sight: orders and fills that exist and are not shown, each place on its own."""

from typing import Any, Final, Protocol

from venue.accounts import Account
from venue.faults.book import Faults, Moment
from venue.matching.engine import Engine
from venue.orders import Order

# Which endpoints show orders or fills, and what rules call them.
LISTS: Final = {
    "GET /api/v3/order": "order",
    "GET /api/v3/openOrders": "openOrders",
    "GET /api/v3/allOrders": "allOrders",
    "GET /api/v3/myTrades": "myTrades",
}


class Shelf(Protocol):
    """Where orders lie that are no longer open."""

    def order(self, uid: int, symbol: str, order_id: int | None, client_order_id: str | None) -> Order | None:
        """Read one order."""


class Venue(Protocol):
    """What is needed of an exchange."""

    @property
    def engine(self) -> Engine:
        """Return its engine."""

    @property
    def store(self) -> Shelf:
        """Return its store."""

    @property
    def faults(self) -> Faults:
        """Return its armed rules."""


def visible(venue: Venue, moment: Moment, place: str, result: Any) -> Any:
    """Return what is seen of an answer; of a single order that is out of sight, nothing."""
    account = venue.engine.accounts.get(moment.uid)
    if account is None:
        return result
    if isinstance(result, list):
        return [row for row in result if not _is_hidden(venue, moment, place, account, row)]
    return None if _is_hidden(venue, moment, place, account, result) else result


def _is_hidden(venue: Venue, moment: Moment, place: str, account: Account, row: dict[str, Any]) -> bool:
    symbol, order_id = row["symbol"], row["orderId"]
    order = account.open_orders.get((symbol, order_id)) or venue.store.order(account.uid, symbol, order_id, None)
    client_id = row.get("clientOrderId") or (order.client_order_id if order else "")
    about = Moment(endpoint=moment.endpoint, symbol=symbol, client_id=client_id, uid=account.uid, account=account.name)
    age_ms = venue.faults.wall_ms() - order.received_at_wall_ms if order else 0
    return venue.faults.hides(about, place, age_ms)
