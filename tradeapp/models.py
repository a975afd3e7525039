"""Sign-in links: the way in before anybody has a password."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class SignInLink(models.Model):
    """A link that signs one person in once. Only a hash of its token is stored."""

    token_hash = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sign_in_links")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Name the table's rows."""

        verbose_name = "sign-in link"
        constraints = [
            models.CheckConstraint(condition=models.Q(expires_at__gt=models.F("created_at")), name="sign_in_link_expires"),
        ]

    def __str__(self) -> str:
        """Return whom the link signs in."""
        return f"sign-in link of {self.user}"
