"""The page behind a sign-in link."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from portfolio.writers import audit
from tradeapp import second_factor, sign_in
from tradeapp.models import SignInLink
from tradeapp.signing_in import remember_place


@never_cache
@sensitive_variables("token")
@require_http_methods(["GET", "POST"])
def sign_in_by_link(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for one click, then sign in: a program that previews links must not use them up."""
    now = timezone.now()
    try:
        if request.method == "POST":
            return _sign_in(request, token)
        link = sign_in.check(token=token, now=now)
    except sign_in.LinkRefused as refusal:
        return render(request, "tradeapp/sign_in.html", {"refusal": str(refusal)}, status=410)
    return render(request, "tradeapp/sign_in.html", _facts(link))


@sensitive_variables("token")
def _sign_in(request: HttpRequest, token: str) -> HttpResponse:
    """Use the link up, once the code is right where the person has a second factor."""
    now = timezone.now()
    link = sign_in.check(token=token, now=now)
    if second_factor.is_set_up(link.user) and not second_factor.check(link.user, request.POST.get("code", ""), now=now):
        return render(request, "tradeapp/sign_in.html", _facts(link) | {"is_wrong": True}, status=403)
    with transaction.atomic():
        user = sign_in.use(token=token, now=now)
        # The record of sign-ins keeps the address that was asked for, and nobody's token belongs there.
        request.META["PATH_INFO"] = reverse("sign_in_by_link", args=["link"])
        login(request, user, backend=settings.AUTHENTICATION_BACKENDS[-1])
        remember_place(request)
        audit.record(action="user.sign_in", subject=f"user:{user.pk}", actor=user, after={"by": "link"}, now=now)
    return HttpResponseRedirect(settings.LOGIN_REDIRECT_URL)


def _facts(link: SignInLink) -> dict[str, Any]:
    return {"user_name": link.user.get_username(), "has_second_factor": second_factor.is_set_up(link.user)}
