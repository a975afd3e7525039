"""The sign-in page: name, password and code, tried one at a time from one place, every attempt in the audit."""

from __future__ import annotations

import hashlib
from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from portfolio.writers import audit
from tradeapp import confirmation

NAME_MAX = 150


class SignInForm(AuthenticationForm):
    """Name, password, and a code of the second factor for those who have one."""

    code = forms.CharField(required=False, max_length=32)

    def clean(self) -> dict[str, Any]:
        """Find the person; what was wrong is never said."""
        cleaned = self.cleaned_data
        name, password = cleaned.get("username"), cleaned.get("password")
        if name and password:
            self.user_cache = authenticate(self.request, username=name, password=password, code=cleaned.get("code", ""))
            if self.user_cache is None:
                raise self.get_invalid_login_error()
            self.confirm_login_allowed(self.user_cache)
        return cleaned


class SignIn(LoginView):
    """Let people in."""

    template_name = "pages/login.html"
    redirect_authenticated_user = True
    authentication_form = SignInForm

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Try one attempt at a time: many at once must not all pass before the first is counted."""
        with transaction.atomic():
            _wait_in_line(request)
            return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in and write it down."""
        answer = super().form_valid(form)
        user = form.get_user()
        audit.record(action="user.sign_in", subject=f"user:{user.pk}", actor=user, now=timezone.now())
        remember_place(self.request)
        return answer

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Write the name that was tried down, never the password."""
        name = "".join(letter for letter in str(form.data.get("username", "")) if letter.isprintable())[:NAME_MAX]
        audit.record(action="user.sign_in_failed", subject="door", actor_name=name or "nobody", now=timezone.now())
        return super().form_invalid(form)


def remember_place(request: HttpRequest) -> None:
    """Keep in the session where it came from, so that a person recognises it among theirs."""
    confirmation.note(request.session, now=timezone.now())
    request.session["signed_in_at"] = timezone.now().isoformat()
    request.session["address"] = request.META.get("REMOTE_ADDR", "")
    request.session["agent"] = request.headers.get("User-Agent", "")[:200]


def _wait_in_line(request: HttpRequest) -> None:
    """Let attempts from one address, and for one name, follow one another."""
    places = sorted({f"address:{request.META.get('REMOTE_ADDR', '')}", f"name:{request.POST.get('username', '')[:NAME_MAX]}"})
    with connection.cursor() as cursor:
        for place in places:
            number = int.from_bytes(hashlib.sha256(place.encode(errors="replace")).digest()[:8], "big", signed=True)
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
