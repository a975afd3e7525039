"""Show people what a strategy remembers."""

from __future__ import annotations

from bots.models import Bot, BotState


def remembered(bot: Bot) -> dict[str, int | float | None]:
    """Answer the single values of a bot's state, by name; none before its first candle, or of another layout's state."""
    stored = BotState.objects.filter(bot=bot).values_list("data", flat=True).first()
    if stored is None:
        return {}
    # Imported late: it loads numba, which most processes never need.
    from bots.memory import unpack
    from strategies import registry
    from strategies.sources import UnknownStrategy
    from trading import live_step

    try:
        return live_step.state_view(registry.definition(bot.strategy), unpack(bytes(stored)))
    except (live_step.StateSchemaChanged, UnknownStrategy):
        # Its page says why it does not trade; until it is started again there is nothing to show.
        return {}
