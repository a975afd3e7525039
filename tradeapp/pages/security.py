"""The security pages: one's own second factor, password, sessions and tokens; the people, and the exchange keys."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from portfolio.models import Account
from tradeapp import confirmation
from tradeapp.pages.views import page_context


@never_cache
@require_safe
@ensure_csrf_cookie
def security(request: HttpRequest) -> HttpResponse:
    """Show how one signs in, and to administrators everybody else."""
    context = page_context(request, "security") | {"means": confirmation.means_of(_user(request))}
    context["key_accounts"] = list(Account.objects.filter(is_enabled=True).order_by("id"))
    return render(request, "pages/security.html", context)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def confirm(request: HttpRequest) -> HttpResponse:
    """Ask again who is there, then go back to where something dangerous was asked for."""
    user, refusal = _user(request), ""
    back = request.GET.get("next", "/")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        back = "/"
    if request.method == "POST":
        try:
            confirmation.confirm(request, user=user, proof=request.POST.get("proof", "")[:128], now=timezone.now())
            return HttpResponseRedirect(back)
        except confirmation.UnableToConfirm as unable:
            refusal = str(unable)
    facts = {"means": confirmation.means_of(user), "refusal": refusal, "back": back}
    return render(request, "pages/confirm.html", page_context(request, "security") | facts, status=403 if refusal else 200)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "The door let only people in."
    return request.user
