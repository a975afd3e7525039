"""Set up the demo account and its bots on the local venue."""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

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
from portfolio.models import Account
from portfolio.selectors.modes import newest_version
from portfolio.services.modes import UnableToSwitch
from trading.handover import Mode

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
            self.stdout.write(f"Account {done.account.name} {state}: {', '.join(names)}.")


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
    clock = venue_control.read_clock(settings.VENUE_CONTROL_URL)
    venue = demo.Venue(settings.VENUE_URL, settings.VENUE_WS_URL, settings.VENUE_CONTROL_URL, clock)
    market = demo.market_of(venue, now=now)
    if not market.instruments.exists():
        listings = venue_control.read_listings(exchange=market.exchange, rest_url=venue.rest_url, stream_url=venue.stream_url)
        demo.list_instruments(market, listings, now=now)
    key = venue_control.open_paper_account(venue.control_url, name=demo.ACCOUNT, balances={demo.QUOTE: demo.BALANCE})
    deploy = "".join(secrets.choice(LETTERS) for _ in range(DEPLOY_LENGTH))
    is_apart = wish.mode == Mode.SUBACCOUNTS
    with transaction.atomic():
        done = demo.set_up(market=market, venue=venue, key=key, plan=plan, deploy=deploy, now=now)
        if done.is_new and not is_apart:
            services.seed_mode(account_id=done.account.pk, wish=wish, now=now, market_at=venue.market_at)
    if is_apart and done.account.allocation_mode != wish.mode and not newest_version(done.account.pk):
        # The venue is asked between two transactions: what a crash leaves open the next start does.
        _set_apart(done.account, plan, wish, venue)
    return done


def _set_apart(account: Account, plan: Plan, wish: services.Wish, venue: demo.Venue) -> None:
    """Begin with a sub-account for each bot; a person moves the money there."""
    now = timezone.now()
    opened = open_at_local_venue(master_id=account.pk, planned=plan.bots, now=now)
    with transaction.atomic():
        services.seed_mode(account_id=account.pk, wish=wish, now=now, market_at=venue.market_at)
        for bot in Bot.objects.filter(book__account__in=opened):
            services.start_bot(bot_id=bot.pk, by=None, now=now, market_at=venue.market_at)
