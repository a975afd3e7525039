"""The page behind a sign-in link."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from tradeapp import sign_in


@never_cache
@sensitive_variables("token")
@require_http_methods(["GET", "POST"])
def sign_in_by_link(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for one click, then sign in: a program that previews links must not use them up."""
    now = timezone.now()
    try:
        if request.method == "POST":
            user = sign_in.use(token=token, now=now)
            login(request, user, backend="django.contrib.auth.backends.ModelBackend")
            return HttpResponseRedirect(settings.LOGIN_REDIRECT_URL)
        link = sign_in.check(token=token, now=now)
    except sign_in.LinkRefused as refusal:
        return render(request, "tradeapp/sign_in.html", {"refusal": str(refusal)}, status=410)
    return render(request, "tradeapp/sign_in.html", {"user_name": link.user.get_username()})
