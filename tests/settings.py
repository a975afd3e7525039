"""The product's own settings, pointed at the servers of this test run."""

from tests import servers

servers.set_environment()

from tradeapp.settings import *  # noqa: E402, F403 - the environment must be set first.

# Argon2 is made to be slow, and tests make many users.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
