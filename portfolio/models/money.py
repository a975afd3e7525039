"""The one kind of column that holds money."""

from __future__ import annotations

from typing import Any

from django.db import models


class MoneyField(models.DecimalField):  # type: ignore[type-arg]
    """NUMERIC(38,18): exact, wide enough for every asset's smallest unit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 38)
        kwargs.setdefault("decimal_places", 18)
        super().__init__(*args, **kwargs)
