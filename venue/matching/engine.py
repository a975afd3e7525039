"""The matching engine: takes orders, walks prices, fills."""

from collections.abc import Callable, Iterable

from venue.accounts import Account
from venue.crossings import Crossings
from venue.errors import cancel_rejected, insufficient_balance, invalid_symbol, rejected
from venue.journal import Journal, MarketEvent, UserEvent
from venue.listings import Listing
from venue.matching import settlement
from venue.matching.book import SymbolBook
from venue.matching.fees import BNB, Rates, Tariff
from venue.matching.filters import check_filters
from venue.matching.prevention import Step, steps
from venue.matching.taking import Take, plan_quote_take, plan_take
from venue.matching.terms import Terms
from venue.orders import (
    CANCELED,
    EXPIRED,
    EXPIRED_IN_MATCH,
    FILLED,
    LIMIT_TYPES,
    NEW,
    Order,
    OrderRequest,
    Trade,
)
from venue.reports import Prevented, account_position, execution_report
from venue.tape import Tape

When = Callable[[int], int]


class Engine:
    """All books and accounts. Every method is one step: it either happens whole or raises before changing anything."""

    def __init__(self, listings: Iterable[Listing], terms: Terms, *, wall_ms: Callable[[], int]) -> None:
        self.terms = terms
        self.books = {item.symbol: SymbolBook(item, terms) for item in listings}
        self.tape = Tape(self.books)
        self.accounts: dict[int, Account] = {}
        self.last_order_id = dict.fromkeys(self.books, 0)
        self.crossings = Crossings()
        self.journal = Journal()
        # Market time, milliseconds: set by the clock, never by the wall.
        self.now = 0
        self.tariff = Tariff(Rates(terms.maker_fee_ppm, terms.taker_fee_ppm), self._price_of)
        # How much of a fill really happens: only a fault asks for less than all of it.
        self.share: Callable[[Order, int], int] | None = None
        self._wall_ms = wall_ms

    def book(self, symbol: str) -> SymbolBook:
        """Return the book of a symbol."""
        try:
            return self.books[symbol]
        except KeyError:
            raise invalid_symbol() from None

    def take_journal(self) -> Journal:
        """Hand over the changes so far and start a new batch."""
        journal, self.journal = self.journal, Journal()
        return journal

    def place(self, account: Account, request: OrderRequest) -> tuple[Order, list[Trade]]:
        """Accept an order and do at once what can be done at once."""
        book = self.check(account, request)
        plan = self._plan(account, request, book)
        order = self._accept(account, request, book, plan)
        trades = self._execute(account, order, book, plan, self.now)
        self._finish(account, order, book)
        self._tell_balances(account, book.listing)
        return order, trades

    def check(self, account: Account, request: OrderRequest) -> SymbolBook:
        """Refuse an order that could not be accepted now, funds aside."""
        book = self.book(request.symbol)
        if book.is_delisted:
            raise invalid_symbol()
        if not book.is_trading:
            raise rejected("Market is closed.")
        check_filters(request, book, account)
        if (request.symbol, request.client_order_id) in account.open_client_ids:
            raise rejected("Duplicate order sent.")
        if request.stop_price and _already_reached(request, book.price):
            raise rejected("Stop price would trigger immediately.")
        if request.type == "LIMIT_MAKER" and _crosses(request.side == "BUY", request.price, book):
            raise rejected("Order would immediately match and take.")
        return book

    def cancel(
        self, account: Account, symbol: str, *, order_id: int | None, client_order_id: str | None, new_client_id: str
    ) -> Order:
        """Cancel an open order."""
        book = self.book(symbol)
        order = self.find_open(account, symbol, order_id, client_order_id)
        if order is None:
            raise cancel_rejected()
        self._end(account, order, book, CANCELED, cancel_client_id=new_client_id)
        self._tell_balances(account, book.listing)
        return order

    def cancel_all(self, account: Account, symbol: str, *, new_client_id: str) -> list[Order]:
        """Cancel all open orders of a symbol."""
        self.book(symbol)
        orders = sorted(
            (order for order in account.open_orders.values() if order.symbol == symbol), key=lambda order: order.order_id
        )
        if not orders:
            raise cancel_rejected()
        for order in orders:
            self._end(account, order, self.books[symbol], CANCELED, cancel_client_id=new_client_id)
        self._tell_balances(account, self.books[symbol].listing)
        return orders

    def end_order(self, order: Order, status: str) -> None:
        """End an open order because the exchange wants it so."""
        account, book = self.accounts[order.uid], self.books[order.symbol]
        self._end(account, order, book, status)
        self._tell_balances(account, book.listing)

    def find_open(self, account: Account, symbol: str, order_id: int | None, client_order_id: str | None) -> Order | None:
        """Find an open order by its number or by its client's id."""
        if order_id is None:
            return account.open_client_ids.get((symbol, client_order_id or ""))
        order = account.open_orders.get((symbol, order_id))
        if order is not None and client_order_id is not None and order.client_order_id != client_order_id:
            return None
        return order

    def move(self, symbol: str, start: int, end: int, when: When) -> None:
        """Move a price and let it meet the orders on its way, in the order in which it meets them."""
        book = self.books[symbol]
        touched: dict[int, Account] = {}
        # What the price of now already meets comes before it moves, however long the step is.
        while (met := book.next_met(start, start) or book.next_met(start, end)) is not None:
            order, level = met
            # The price is there now: an order that starts to wait from here on is not met by what lies behind.
            start = level
            account = self.accounts[order.uid]
            touched[account.uid] = account
            self._meet(account, order, book, level, max(self.now, when(level)))
        book.price = end
        for account in touched.values():
            self._tell_balances(account, book.listing)

    def restore(self, orders: Iterable[Order]) -> None:
        """Put open orders back after a restart."""
        for order in orders:
            self.accounts[order.uid].remember(order)
            self.books[order.symbol].add(order)

    def reset(self, balances: dict[str, int]) -> None:
        """Replace every order and every balance, as a testnet does once a month; numbers start again at one."""
        for book in self.books.values():
            for order in list(book.waiting()):
                book.remove(order)
        self.crossings.waiting.clear()
        kept, self.journal = self.journal, Journal(is_reset=True)
        self.journal.facts, self.journal.clients, self.journal.days = kept.facts, kept.clients, kept.days
        self.last_order_id = dict.fromkeys(self.books, 0)
        self.tape.last_id = dict.fromkeys(self.books, 0)
        for account in self.accounts.values():
            account.open_orders.clear()
            account.open_client_ids.clear()
            account.balances.clear()
            account.trade_count, account.update_time = 0, self.now
            self.journal.accounts[account.uid] = account
            for asset, amount in balances.items():
                account.balance(asset).free = amount
                self.journal.touch_balance(account, asset)
        for symbol in self.books:
            self._count(symbol)

    def _plan(self, account: Account, request: OrderRequest, book: SymbolBook) -> Take:
        """Work out what the order would take now, and refuse a market order that cannot be paid."""
        bought = request.side == "BUY"
        if request.type == "MARKET":
            if request.quote_quantity:
                plan = plan_quote_take(book, bought=bought, quote=request.quote_quantity)
                if not plan.quantity:
                    raise rejected("Order book liquidity is less than LOT_SIZE filter minimum quantity.")
            else:
                plan = plan_take(book, bought=bought, quantity=request.quantity, limit=None)
            asset, cost = (book.listing.quote, plan.quote) if bought else (book.listing.base, plan.quantity)
            if account.balance(asset).free < max(cost, request.quote_quantity if bought else 0):
                raise insufficient_balance()
            return plan
        if request.type != "LIMIT" or not _crosses(bought, request.price, book):
            return Take(())
        plan = plan_take(book, bought=bought, quantity=request.quantity, limit=request.price)
        if request.time_in_force == "FOK" and plan.quantity < request.quantity:
            return Take(())
        return plan

    def _accept(self, account: Account, request: OrderRequest, book: SymbolBook, plan: Take) -> Order:
        symbol = request.symbol
        order = Order(
            symbol=symbol,
            order_id=self.last_order_id[symbol] + 1,
            uid=account.uid,
            client_order_id=request.client_order_id,
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            price=request.price,
            stop_price=request.stop_price,
            quantity=request.quantity or plan.quantity,
            quote_quantity=request.quote_quantity,
            prevention=request.prevention,
            status=NEW,
            time=self.now,
            update_time=self.now,
            working_time=-1 if request.stop_price else self.now,
            received_at_wall_ms=self._wall_ms(),
            strategy_id=request.strategy_id,
            strategy_type=request.strategy_type,
        )
        if order.type != "MARKET":
            settlement.lock(account, order, book.listing, self.terms, self.journal)
        self.last_order_id[symbol] = order.order_id
        account.update_time = self.now
        account.remember(order)
        self.journal.touch(order)
        self._count(symbol)
        self._tell(order, "NEW", self.now)
        return order

    def _execute(self, account: Account, order: Order, book: SymbolBook, plan: Take, at: int) -> list[Trade]:
        """Fill what an order takes; what it would take from its own account is prevented in the way it asked for."""
        trades = []
        for step in steps(order, account.open_orders.values(), self._shared(order, plan)):
            if step.own is None:
                trades.append(self._fill(account, order, book, step.price, step.quantity, is_maker=False, at=at))
            else:
                self._prevent(account, order, step.own, book, step)
        return trades

    def _finish(self, account: Account, order: Order, book: SymbolBook) -> None:
        """Decide what becomes of the rest of an order that has just taken what it could."""
        if not order.is_open:
            account.forget(order)
            settlement.release(account, order, book.listing, self.journal)
        elif order.time_in_force in ("IOC", "FOK") or order.type == "MARKET":
            account.forget(order)
            self._expire(account, order, book, self.now)
        else:
            book.add(order)

    def _meet(self, account: Account, order: Order, book: SymbolBook, level: int, at: int) -> None:
        if order.waits_for_trigger:
            self._trigger(account, order, book, level, at)
            return
        quantity = min(order.remaining, book.budget)
        if self.share is not None and (part := self._part(order, quantity)) < quantity:
            # The rest waits for the next bar: this one has given what it was told to give.
            quantity, book.budget = part, part
        book.budget -= quantity
        self._fill(account, order, book, order.price, quantity, is_maker=True, at=at)
        if order.status == FILLED:
            book.remove(order)
            account.forget(order)

    def _trigger(self, account: Account, order: Order, book: SymbolBook, level: int, at: int) -> None:
        """Turn a stop that has been reached into the order it stands for, at the price that reached it."""
        book.remove(order)
        order.triggered = True
        order.working_time = order.update_time = at
        book.price = level
        self.journal.touch(order)
        limited = order.type in LIMIT_TYPES
        if limited and not _crosses(order.is_buy, order.price, book):
            book.add(order)
            return
        plan = plan_take(book, bought=order.is_buy, quantity=order.remaining, limit=order.price if limited else None)
        available = account.balance(book.listing.quote).free + order.locked
        if order.is_buy and plan.quote > available:
            account.forget(order)
            self._expire(account, order, book, at)
            return
        self._execute(account, order, book, plan, at)
        if order.is_open and limited:
            book.add(order)
        elif order.is_open:
            account.forget(order)
            self._expire(account, order, book, at)
        else:
            account.forget(order)
            settlement.release(account, order, book.listing, self.journal)

    def _fill(
        self, account: Account, order: Order, book: SymbolBook, price: int, quantity: int, *, is_maker: bool, at: int
    ) -> Trade:
        trade_id = self.tape.next_id(order.symbol)
        trade = settlement.settle(
            account,
            order,
            book.listing,
            self.terms,
            self.tariff,
            trade_id=trade_id,
            price=price,
            quantity=quantity,
            is_maker=is_maker,
            at=at,
            wall_ms=self._wall_ms(),
            journal=self.journal,
        )
        self._count(order.symbol)
        self.journal.events.append(UserEvent(account.uid, execution_report(order, kind="TRADE", at=at, trade=trade)))
        buyer_is_maker = order.is_buy == is_maker
        self._publish(self.tape.print(order.symbol, trade_id, price, quantity, at, buyer_is_maker=buyer_is_maker))
        return trade

    def _prevent(self, account: Account, taker: Order, maker: Order, book: SymbolBook, step: Step) -> None:
        """Keep two orders of one account from trading: one ends, or both, or both shrink."""
        mode = taker.prevention
        ends_maker = mode in ("EXPIRE_MAKER", "EXPIRE_BOTH")
        if ends_maker or mode == "DECREMENT":
            self._take_off(account, maker, taker, book, maker.remaining if ends_maker else step.quantity, step.price)
        if mode != "EXPIRE_MAKER":
            quantity = step.quantity if mode == "DECREMENT" else taker.remaining
            self._take_off(account, taker, maker, book, quantity, step.price)

    def _take_off(self, account: Account, order: Order, other: Order, book: SymbolBook, quantity: int, price: int) -> None:
        """Take a quantity off an order and give back what it held for it; nothing left ends it."""
        order.prevented += quantity
        order.update_time = account.update_time = self.now
        if order.remaining == 0:
            order.status = EXPIRED_IN_MATCH
            account.forget(order)
            settlement.release(account, order, book.listing, self.journal)
        elif order.locked:
            settlement.trim(account, order, book.listing, self.terms, self.journal)
        if not order.is_open and book.holds(order):
            book.remove(order)
        self.journal.touch(order)
        met = Prevented(other.order_id, price, quantity)
        report = execution_report(order, kind="TRADE_PREVENTION", at=self.now, met=met)
        self.journal.events.append(UserEvent(order.uid, report))

    def _end(self, account: Account, order: Order, book: SymbolBook, status: str, *, cancel_client_id: str = "") -> None:
        book.remove(order)
        account.forget(order)
        order.status = status
        order.update_time = account.update_time = self.now
        order.cancel_client_id = cancel_client_id
        settlement.release(account, order, book.listing, self.journal)
        self.journal.touch(order)
        self._tell(order, "TRADE_PREVENTION" if status == EXPIRED_IN_MATCH else status, self.now)

    def _expire(self, account: Account, order: Order, book: SymbolBook, at: int) -> None:
        order.status, order.update_time = EXPIRED, at
        settlement.release(account, order, book.listing, self.journal)
        self.journal.touch(order)
        self._tell(order, "EXPIRED", at)

    def _shared(self, order: Order, plan: Take) -> Take:
        if self.share is None or not plan.levels or order.time_in_force == "FOK":
            return plan
        return plan.first(self._part(order, plan.quantity))

    def _part(self, order: Order, quantity: int) -> int:
        """Ask how much of a fill happens: whole lots, at least one."""
        step = self.books[order.symbol].listing.step
        wanted = self.share(order, quantity) if self.share is not None else quantity
        return min(quantity, max(step, wanted // step * step))

    def _price_of(self, symbol: str) -> int:
        book = self.books.get(symbol)
        return 0 if book is None else book.price

    def _count(self, symbol: str) -> None:
        self.journal.counters[symbol] = (self.last_order_id[symbol], self.tape.last_id[symbol])

    def _tell(self, order: Order, kind: str, at: int) -> None:
        self.journal.events.append(UserEvent(order.uid, execution_report(order, kind=kind, at=at)))

    def _tell_balances(self, account: Account, listing: Listing) -> None:
        assets = dict.fromkeys((listing.base, listing.quote, *((BNB,) if account.pays_in_bnb else ())))
        position = account_position(account, tuple(assets), self.now)
        self.journal.events.append(UserEvent(account.uid, position))

    def _publish(self, events: Iterable[MarketEvent]) -> None:
        self.journal.events.extend(events)


def _crosses(bought: bool, price: int, book: SymbolBook) -> bool:
    return price >= book.ask if bought else price <= book.bid


def _already_reached(request: OrderRequest, price: int) -> bool:
    falls = (request.side == "BUY") == request.type.startswith("TAKE_PROFIT")
    return price <= request.stop_price if falls else price >= request.stop_price
