"""Addresses of pages."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.templatetags.static import static
from django.urls import path
from django.views.generic import RedirectView

from tradeapp.pages import history, sweeps, views

app_name = "pages"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("bots/<int:bot_id>/", views.bot, name="bot"),
    path("orders/", views.orders, name="orders"),
    path("allocation/", views.allocation, name="allocation"),
    path("reconcile/", views.reconcile, name="reconcile"),
    path("risk/", views.risk, name="risk"),
    path("system/", views.system, name="system"),
    path("sweeps/", sweeps.sweep_list, name="sweeps"),
    path("sweeps/<int:sweep_id>/", sweeps.sweep, name="sweep"),
    path("history/", history.history, name="history"),
    path("parts/<slug:name>/", views.part, name="part"),
    path("login/", LoginView.as_view(template_name="pages/login.html", redirect_authenticated_user=True), name="login"),
    # Browsers ask for it even where a page names another icon.
    path("favicon.ico", RedirectView.as_view(url=static("tradeapp/icon.svg"))),
    path("logout/", LogoutView.as_view(), name="logout"),
]
