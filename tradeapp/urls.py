"""Addresses of pages and API."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from tradeapp.api import api
from tradeapp.views import sign_in_by_link

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("", include("tradeapp.pages.urls")),
    path("sign-in/<str:token>/", sign_in_by_link, name="sign_in_by_link"),
]
