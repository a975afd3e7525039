"""Set up the demo account and its bots on the local venue."""

from __future__ import annotations

import json
import secrets
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from bots import lineups, services, venue_control
from bots.lineups import Plan
from bots.models import Bot
from bots.opening import open_at_local_venue
from bots.services import demo
from exchange.errors import ExchangeTrouble
from marketdata.models import Market
from marketdata.selectors import filters_of
from portfolio.models import Account
from portfolio.selectors.modes import newest_version
from portfolio.services.modes import UnableToSwitch
from trading.handover import Mode
from trading.instruments import UnknownSymbol, find_instrument

LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
DEPLOY_LENGTH: Final = 6


class Command(BaseCommand):
    """Make what is missing; run as often as you like."""

    help = "Set up the paper account and its five bots on the local venue (safe to repeat)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print facts as JSON")

    def handle(self, *_words: Any, **options: Any) -> None:
        """Ask the venue, then write."""
        try:
            plan, wish = _seeded_plan(), _seeded_mode()
            done = _set_up(plan, wish)
        except (lineups.BadPlan, lineups.UnknownBot, venue_control.VenueAway, UnableToSwitch) as error:
            raise CommandError(str(error)) from error
        except ExchangeTrouble as error:
            raise CommandError(f"The local venue cannot list its instruments: {error}") from error
        names = [bot.name for bot in done.bots]
        facts = {
            "account": done.account.pk,
            "market": done.account.market_id,
            "bots": names,
            "is_new": done.is_new,
        }
        if options["json"]:
            self.stdout.write(json.dumps(facts))
        elif options["verbosity"] > 0:
            state = "is set up" if done.is_new else "was there already"
            there = ", ".join(names) or "no bots: say what they trade on the page Allocation"
            self.stdout.write(f"Account {done.account.name} {state}: {there}.")


def _seeded_plan() -> Plan:
    """Read the shipped plan with what the environment says, refusing what it says wrong."""
    plan = lineups.seeded(lineups.load(), settings.BOT_PERCENT)
    if settings.ACTIVE_BOT:
        # Trading the wrong bot is worse than not starting, even where the mode does not look at it.
        lineups.find(settings.ACTIVE_BOT, plan.bots, lineups.aliases_of(plan))
    return plan


def _seeded_mode() -> services.Wish:
    return services.read_seed(
        mode=settings.BOT_ALLOCATION_MODE, active_bot=settings.ACTIVE_BOT, budget=str(settings.INITIAL_BUDGET)
    )


def _set_up(plan: Plan, wish: services.Wish) -> demo.Demo:
    now = timezone.now()
    venue, market, key = _listed(settings.VENUE_URL, settings.VENUE_WS_URL, settings.VENUE_CONTROL_URL)
    beside = []
    if settings.SECOND_VENUE_CONTROL_URL:
        other = _listed(settings.SECOND_VENUE_URL, settings.SECOND_VENUE_WS_URL, settings.SECOND_VENUE_CONTROL_URL)
        beside = [other]
    if not _is_listed(plan, market):
        # Another exchange's coins are paid in another asset: which of them to trade is for a person to say.
        plan, wish = Plan(plan.name, ()), services.Wish(mode=Mode.PERCENTAGE)
    is_apart = wish.mode == Mode.SUBACCOUNTS
    with transaction.atomic():
        markets = [market.pk, *(second.market.pk for second in beside)]
        done = demo.set_up(market=market, venue=venue, key=key, plan=plan, deploy=_deploy(), now=now, beside=markets)
        for second in beside:
            # Its account waits for a pair of bots, or for whatever else a person starts there.
            demo.set_up(
                market=second.market,
                venue=second.venue,
                key=second.key,
                plan=Plan("second", ()),
                called="second",
                deploy=_deploy(),
                now=now,
                beside=markets,
            )
        if done.is_new and plan.bots and not is_apart:
            services.seed_mode(account_id=done.account.pk, wish=wish, now=now, market_at=venue.market_at)
    if is_apart and done.account.allocation_mode != wish.mode and not newest_version(done.account.pk):
        # The venue is asked between two transactions: what a crash leaves open the next start does.
        _set_apart(done.account, plan, wish, venue)
    return done


def _is_listed(plan: Plan, market: Market) -> bool:
    known = [filters_of(row) for row in market.instruments.all()]
    try:
        for bot in plan.bots:
            for symbol in bot.symbols:
                find_instrument(symbol, known)
    except UnknownSymbol:
        return False
    return True


class _Listed(NamedTuple):
    """A local exchange with what it lists in the books, and the key of the account that it opened."""

    venue: demo.Venue
    market: Market
    key: demo.Key


def _listed(rest_url: str, stream_url: str, control_url: str) -> _Listed:
    now, clock = timezone.now(), venue_control.read_clock(control_url)
    venue = demo.Venue(rest_url, stream_url, control_url, clock)
    market = demo.market_of(venue, now=now)
    if not market.instruments.exists():
        listings = venue_control.read_listings(exchange=market.exchange, rest_url=rest_url, stream_url=stream_url)
        demo.list_instruments(market, listings, now=now)
    key = venue_control.open_paper_account(control_url, name=demo.ACCOUNT, balances={demo.quote_of(market): demo.BALANCE})
    return _Listed(venue, market, key)


def _deploy() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(DEPLOY_LENGTH))


def _set_apart(account: Account, plan: Plan, wish: services.Wish, venue: demo.Venue) -> None:
    """Begin with a sub-account for each bot; a person moves the money there."""
    now = timezone.now()
    opened = open_at_local_venue(master_id=account.pk, planned=plan.bots, now=now)
    with transaction.atomic():
        services.seed_mode(account_id=account.pk, wish=wish, now=now, market_at=venue.market_at)
        for bot in Bot.objects.filter(book__account__in=opened):
            services.start_bot(bot_id=bot.pk, by=None, now=now, market_at=venue.market_at)
