"""Addresses of pages."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.templatetags.static import static
from django.urls import path
from django.views.generic import RedirectView

from tradeapp.pages import (
    alarms,
    allocations,
    arbitrage,
    audit,
    backtests,
    comparisons,
    coordinator,
    history,
    markets,
    modes,
    security,
    sub_accounts,
    sweeps,
    trials,
    views,
)
from tradeapp.signing_in import SignIn

app_name = "pages"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("bots/<int:bot_id>/", views.bot, name="bot"),
    path("orders/", views.orders, name="orders"),
    path("allocation/", allocations.allocation, name="allocation"),
    path("modes/", modes.modes, name="modes"),
    path("subaccounts/", sub_accounts.sub_accounts, name="sub_accounts"),
    path("arbitrage/", arbitrage.arbitrage, name="arbitrage"),
    path("coordinator/", coordinator.coordinator, name="coordinator"),
    path("alarms/", alarms.alarms, name="alarms"),
    path("reconcile/", views.reconcile, name="reconcile"),
    path("risk/", views.risk, name="risk"),
    path("system/", views.system, name="system"),
    path("backtests/", backtests.backtest_list, name="backtests"),
    path("backtests/<int:run_id>/", backtests.backtest, name="backtest"),
    path("sweeps/", sweeps.sweep_list, name="sweeps"),
    path("sweeps/<int:sweep_id>/", sweeps.sweep, name="sweep"),
    path("comparisons/", comparisons.comparison_list, name="comparisons"),
    path("comparisons/<int:comparison_id>/", comparisons.comparison, name="comparison"),
    path("trials/", trials.trial_list, name="trials"),
    path("trials/<int:trial_id>/", trials.trial, name="trial"),
    path("history/", history.history, name="history"),
    path("markets/", markets.markets, name="markets"),
    path("sources/", markets.sources, name="sources"),
    path("security/", security.security, name="security"),
    path("audit/", audit.audit, name="audit"),
    path("confirm/", security.confirm, name="confirm"),
    path("parts/<slug:name>/", views.part, name="part"),
    path("login/", SignIn.as_view(), name="login"),
    # Browsers ask for it even where a page names another icon.
    path("favicon.ico", RedirectView.as_view(url=static("tradeapp/icon.svg")), name="favicon"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
