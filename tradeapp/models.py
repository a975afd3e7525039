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


class ApiToken(models.Model):
    """A key for scripts: it may do what its scopes say. Only a hash of it is stored."""

    token_hash = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12, help_text="What a person recognises it by")
    name = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Name the table's rows."""

        verbose_name = "API token"

    def __str__(self) -> str:
        """Return what a person recognises it by."""
        return f"{self.name} ({self.prefix}…)"


class IdempotencyKey(models.Model):
    """The answer that was given to a command, so that a repeated one is answered and not done again."""

    caller = models.CharField(max_length=80)
    key = models.CharField(max_length=128)
    request_hash = models.CharField(max_length=64, help_text="Of method, path and body")
    status = models.PositiveSmallIntegerField(default=0)
    content_type = models.CharField(max_length=64, default="", blank=True)
    content = models.BinaryField(default=b"")
    created_at = models.DateTimeField()

    class Meta:
        """Let a key stand for one command of one caller."""

        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="idempotency_key_unique")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_age")]

    def __str__(self) -> str:
        """Return the key."""
        return self.key


class SecondFactor(models.Model):
    """The secret that a person's authenticator app shares with us, sealed with the master key."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="second_factor")
    sealed = models.TextField()
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True, blank=True, help_text="When its first code was right")
    last_step = models.BigIntegerField(default=0, help_text="The last code used: every code works once")
    failures = models.PositiveSmallIntegerField(default=0)
    locked_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Name the table's rows."""

        verbose_name = "second factor"

    def __str__(self) -> str:
        """Return whose it is."""
        return f"second factor of {self.user}"


class RecoveryCode(models.Model):
    """A code for a lost telephone. Only a hash of it is stored, and it works once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="recovery_codes")
    code_hash = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Let a code be one person's once."""

        constraints = [models.UniqueConstraint(fields=["user", "code_hash"], name="recovery_code_unique")]

    def __str__(self) -> str:
        """Return whose it is."""
        return f"recovery code of {self.user}"
