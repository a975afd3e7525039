"""Settings: safe by default, read strictly from the environment, no secret with a default value."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.templatetags.static import static

from tradeapp import environment, exposure, logs, places, secret_files, server_addresses

BASE_DIR = places.PROJECT_DIR
ENVIRON = environment.load(BASE_DIR)
TRADEAPP_DATA_DIR: Path = places.data_directory(environ=ENVIRON, user_id=os.getuid())
# Where `history fetch` keeps candles; see docs/history.md.
HISTORY_ROOT = TRADEAPP_DATA_DIR / "history"
# Strategies that users wrote; see docs/strategies/own.md.
STRATEGIES_DIR = Path(ENVIRON.get("STRATEGIES_DIR", "") or TRADEAPP_DATA_DIR / "strategies")
TRADEAPP_PROCESS = ENVIRON.get("TRADEAPP_PROCESS", "command")
TRADEAPP_METRICS_PORT = environment.port(ENVIRON, "TRADEAPP_METRICS_PORT")
_remembered = environment.remembered_addresses(TRADEAPP_DATA_DIR)


def _address(name: str, default: str) -> str:
    return ENVIRON.get(name, "") or _remembered.get(name, default)


# Trading.
TRADING_MODE = environment.choice(ENVIRON, "TRADING_MODE", environment.TRADING_MODES, "paper")
BOT_ALLOCATION_MODE = environment.choice(ENVIRON, "BOT_ALLOCATION_MODE", environment.ALLOCATION_MODES, "percentage")
ACTIVE_BOT = ENVIRON.get("ACTIVE_BOT", "")
INITIAL_BUDGET = ENVIRON.get("INITIAL_BUDGET", "")
BOT_PERCENT = {name.removeprefix("BOT_PERCENT_"): value for name, value in ENVIRON.items() if name.startswith("BOT_PERCENT_")}
VENUE_URL = _address("VENUE_URL", "http://127.0.0.1:8020")
VENUE_WS_URL = _address("VENUE_WS_URL", VENUE_URL.replace("http", "ws", 1))
VENUE_CONTROL_URL = _address("VENUE_CONTROL_URL", "http://127.0.0.1:8021")
# A second local exchange, where one was asked for.
SECOND_VENUE_URL = _address("SECOND_VENUE_URL", "")
SECOND_VENUE_WS_URL = SECOND_VENUE_URL.replace("http", "ws", 1)
SECOND_VENUE_CONTROL_URL = _address("SECOND_VENUE_CONTROL_URL", "")
MASTER_KEY_FILE = Path(ENVIRON.get("TRADEAPP_MASTER_KEY_FILE", "") or TRADEAPP_DATA_DIR / "master.key")

# Security.
SECRET_KEY = ENVIRON.get("SECRET_KEY", "") or secret_files.read_or_create(TRADEAPP_DATA_DIR / "secret.key")
DEBUG = False
# This machine itself always asks whether its web process answers.
ALLOWED_HOSTS = [*filter(None, ENVIRON.get("ALLOWED_HOSTS", "").split(",")), "localhost", "127.0.0.1", "[::1]"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator")
] + [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "tradeapp.roles.RoleBackend"]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # Hours.
# Each of them by itself: many names from one place, and one name from many places.
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]
# Failures are rows: they outlive a restart, and processes share them.
AXES_HANDLER = "axes.handlers.database.AxesDatabaseHandler"
AXES_ENABLE_ADMIN = False
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
# Behind TLS, a proxy's or our own, nothing of a session ever travels in the clear.
IS_BEHIND_TLS = exposure.is_behind_tls(ENVIRON)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_BEHIND_TLS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if IS_BEHIND_TLS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENVIRON.get(exposure.TRUSTED_PROXY) else None
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "django.views.csrf.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "font-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

# Apps and pages.
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "tradeapp.apps.OperatorAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "csp",
    "axes",
    "django_htmx",
    "django_celery_beat",
    "stream",
    "marketdata",
    "portfolio",
    "bots",
    "backtests",
    "trials",
    "tradeapp.apps.TradeappConfig",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tradeapp.doors.AskingMiddleware",
    "tradeapp.problems.ProblemMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "tradeapp.doors.PageDoor",
    "tradeapp.idempotency.IdempotencyMiddleware",
]
ROOT_URLCONF = "tradeapp.urls"
ASGI_APPLICATION = "tradeapp.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
UNFOLD = {
    "SITE_TITLE": "tradeapp",
    "SITE_HEADER": "tradeapp",
    "SITE_SYMBOL": "account_tree",
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [lambda _request: static("tradeapp/admin.css")],
}
STATIC_URL = "/static/"
# Scripts and styles of others stay in their packages; plotly.js comes with plotly.
STATICFILES_DIRS = [BASE_DIR / "static", ("plotly", places.package_directory("plotly") / "package_data")]
# Files are served from where packages keep them: nothing is copied and no build step is needed.
WHITENOISE_USE_FINDERS = True

# Time and language. Moments are UTC everywhere.
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Servers.
DATABASE_URL = _address("DATABASE_URL", "postgresql:///tradeapp")
REDIS_URL = server_addresses.check_redis(_address("REDIS_URL", "redis://127.0.0.1:6379/0"))
DATABASES: dict[str, dict[str, Any]] = {"default": server_addresses.database_settings(DATABASE_URL)}
_database = DATABASES["default"]
_database["CONN_HEALTH_CHECKS"] = True
_database["OPTIONS"].setdefault("application_name", f"tradeapp {TRADEAPP_PROCESS}")
_database["OPTIONS"].setdefault("connect_timeout", "5")
if TRADEAPP_PROCESS == "web":
    # Requests share threads, so they share connections too. Processes that fork keep one of their own.
    _database["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 12, "timeout": 10}
else:
    _database["CONN_MAX_AGE"] = 600
# Nobody waits long for a doorbell's memory, not even where Valkey answers slowly.
_CACHE_TIMEOUTS = {"socket_timeout": 1, "socket_connect_timeout": 1}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL, "OPTIONS": _CACHE_TIMEOUTS}
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # Without a timeout: a consumer may wait for its next message longer than any default.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "prefix": "tradeapp"},
    }
}

# Celery. Every task is safe to run twice: rows are the queue.
CELERY_BROKER_URL = server_addresses.celery_broker(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {"visibility_timeout": 3600}
if not TRADEAPP_PROCESS.startswith("worker"):
    # Who only rings gives up soon; a worker waits for the next message as long as it takes.
    CELERY_BROKER_TRANSPORT_OPTIONS |= {"socket_timeout": 5, "socket_connect_timeout": 2}
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "trading"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

# Logs.
LOG_LEVEL = environment.choice(ENVIRON, "LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO")
LOGGING = logs.logging_settings(LOG_LEVEL)
logs.configure_structlog()
