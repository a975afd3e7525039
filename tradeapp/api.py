"""The one API: routers of all floors under /api/v1/, one door, one shape of errors."""

from __future__ import annotations

from typing import Any

import structlog
from django.db import DatabaseError, DataError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router, Status
from ninja.errors import AuthenticationError, HttpError, ValidationError

from backtests.api import router as sweeps_router
from backtests.backtests_api import router as backtests_router
from backtests.comparisons_api import router as comparisons_router
from backtests.services import UnableToSteer
from bots.api import router as bots_router
from bots.lineups_api import router as lineups_router
from bots.modes_api import router as modes_router
from bots.pairs_api import router as pairs_router
from bots.services import UnableToOperate
from bots.services.lineups import UnableToLineUp
from exchange.secrets import MasterKeyMissing
from marketdata.api import router as marketdata_router
from marketdata.services import UnableToFetch
from portfolio.alarms_api import router as alarms_router
from portfolio.api import router as portfolio_router
from portfolio.asking import NeedsConfirmation
from portfolio.coordinator_api import router as coordinator_router
from portfolio.families_api import router as families_router
from portfolio.schemas import PageOut
from portfolio.services import UnableToAllocate, UnableToExplain, UnableToLimit, UnableToTransfer
from portfolio.services.alarms import UnableToAcknowledge
from portfolio.services.credentials import UnableToStore
from portfolio.services.deficits import UnableToCover
from portfolio.services.modes import UnableToSwitch
from portfolio.services.orphans import UnableToCancel
from portfolio.trader.rights import UnableToAsk
from strategies.sources import UnknownStrategy
from tradeapp import confirmation, keys_api, people, people_api, problems, readiness, second_factor, sources_api, tokens
from tradeapp.doorkeeper import SessionAuth, TokenAuth
from tradeapp.models import ApiToken
from tradeapp.openapi import DescribedAPI
from tradeapp.pages import activity
from tradeapp.problems import Problem, StrictParser
from tradeapp.schemas import EventOut, HealthOut, MeOut, NewTokenOut, ReadyOut, TokenIn, TokenOut
from trials.api import router as trials_router
from trials.spec import UnableToTry

log = structlog.get_logger(__name__)
router = Router(tags=["installation"])
# What a service says no to: the request was understood and cannot be done now.
REFUSALS = (
    UnableToAllocate,
    UnableToAcknowledge,
    UnableToCancel,
    UnableToCover,
    UnableToExplain,
    UnableToFetch,
    UnableToLimit,
    UnableToLineUp,
    UnableToOperate,
    UnknownStrategy,
    UnableToSwitch,
    UnableToTransfer,
    tokens.UnableToMakeToken,
    people.UnableToAdmit,
    second_factor.UnableToSetUp,
    confirmation.UnableToConfirm,
    UnableToStore,
    UnableToAsk,
    UnableToSteer,
    UnableToTry,
)

api = DescribedAPI(
    title="tradeapp",
    version="1",
    urls_namespace="api",
    auth=[TokenAuth(), SessionAuth()],
    parser=StrictParser(),
    docs_url="/docs",
    openapi_url="/openapi.json",
)


@router.get("/health", auth=None, response=HealthOut)
def health(request: HttpRequest) -> dict[str, Any]:
    """Say that the web process answers."""
    return {"status": "ok", "now": timezone.now()}


@router.get("/ready", auth=None, response={200: ReadyOut, 503: ReadyOut})
def ready(request: HttpRequest) -> Status[dict[str, Any]]:
    """Answer 200 once a person can sign in and the bots run."""
    missing = readiness.reasons(now=timezone.now())
    return Status(503 if missing else 200, {"ready": not missing, "reasons": missing})


@router.get("/me", response=MeOut)
def me(request: HttpRequest) -> dict[str, Any]:
    """Return who asks and what they may do."""
    return people_api.me_view(request)


@router.get("/tokens", response=PageOut[TokenOut])
def list_tokens(request: HttpRequest) -> dict[str, Any]:
    """List one's own tokens."""
    return {"items": list(ApiToken.objects.filter(user=request.user.pk).order_by("-id"))}


@router.post("/tokens", response={201: NewTokenOut})
def create_token(request: HttpRequest, payload: TokenIn) -> Status[Any]:
    """Make a token; its secret is in this answer and nowhere else."""
    assert request.user.is_authenticated
    token, secret = tokens.create_token(
        name=payload.name, scopes=payload.scopes, by=request.user, now=timezone.now(), expires_at=payload.expires_at
    )
    vars(token)["secret"] = secret
    return Status(201, token)


@router.delete("/tokens/{int:token_id}", response={204: None})
def revoke_token(request: HttpRequest, token_id: int) -> Status[None]:
    """Make a token useless."""
    assert request.user.is_authenticated
    try:
        tokens.revoke_token(token_id=token_id, by=request.user, now=timezone.now())
    except ApiToken.DoesNotExist:
        raise Http404("There is no such token.") from None
    return Status(204, None)


@router.get("/events", response=PageOut[EventOut])
def events(request: HttpRequest) -> dict[str, Any]:
    """List what happened lately, newest first."""
    return {"items": activity.latest(limit=100)}


api.add_router("", router)
api.add_router("", people_api.router)
api.add_router("", keys_api.router)
api.add_router("", portfolio_router)
api.add_router("", coordinator_router)
api.add_router("", alarms_router)
api.add_router("", families_router)
api.add_router("", lineups_router)
api.add_router("", bots_router)
api.add_router("", modes_router)
api.add_router("", pairs_router)
api.add_router("", sweeps_router)
api.add_router("", backtests_router)
api.add_router("", comparisons_router)
api.add_router("", trials_router)
api.add_router("", marketdata_router)
api.add_router("", sources_api.router)


@api.exception_handler(Problem)
def on_problem(request: HttpRequest, problem: Any) -> HttpResponse:
    """Answer what the thrower said."""
    return problems.respond(problem.status, problem.code, str(problem))


@api.exception_handler(NeedsConfirmation)
def on_unconfirmed(request: HttpRequest, error: Any) -> HttpResponse:
    """Ask for a confirmation; pages show a dialog and repeat what was asked."""
    return problems.respond(403, error.code, str(error))


@api.exception_handler(MasterKeyMissing)
def on_keyless(request: HttpRequest, error: Any) -> HttpResponse:
    """Say that nothing can be sealed or opened here; which file is missing is for the log and the doctor."""
    log.error("api.master_key_missing", reason=str(error))
    return problems.respond(503, "MASTER_KEY_MISSING", "The master key is missing: `python manage.py doctor` says more.")


@api.exception_handler(ValidationError)
def on_invalid(request: HttpRequest, error: Any) -> HttpResponse:
    """Name the fields that are wrong, without repeating what was sent."""
    fields = [{"field": ".".join(str(part) for part in row["loc"][1:]), "message": row["msg"]} for row in error.errors]
    return problems.respond(422, "INPUT_INVALID", "Some fields are wrong.", errors=fields)


@api.exception_handler(AuthenticationError)
def on_stranger(request: HttpRequest, error: Any) -> HttpResponse:
    """Ask to sign in."""
    return problems.respond(401, "UNAUTHENTICATED", "Sign in, or send a token.")


@api.exception_handler(HttpError)
def on_http_error(request: HttpRequest, error: Any) -> HttpResponse:
    """Answer the framework's own errors."""
    return problems.from_http_error(error)


@api.exception_handler(Http404)
def on_missing(request: HttpRequest, error: Any) -> HttpResponse:
    """Say that there is no such thing."""
    return problems.respond(404, "NOT_FOUND", str(error) or "There is no such thing.")


@api.exception_handler(DataError)
def on_data_error(request: HttpRequest, error: Any) -> HttpResponse:
    """Refuse a value that no column can hold."""
    return problems.respond(422, "INPUT_INVALID", "A value is out of range or cannot be stored.")


@api.exception_handler(DatabaseError)
@api.exception_handler(InterfaceError)
def on_database_error(request: HttpRequest, error: Any) -> HttpResponse:
    """Say that the database is away; what it said is for the log."""
    log.error("api.database", path=request.path, reason=str(error).strip())
    return problems.respond(503, "DATABASE_UNAVAILABLE", "The database does not answer; nothing was changed.")


@api.exception_handler(Exception)
def on_fault(request: HttpRequest, error: Any) -> HttpResponse:
    """Own up to a fault of ours; what went wrong is for the log."""
    log.error("api.fault", path=request.path, exc_info=error)
    return problems.respond(500, "INTERNAL", "Something went wrong here; nothing was changed.")


def on_refusal(request: HttpRequest, error: Any) -> HttpResponse:
    """Answer why a service said no, with the facts that it knows."""
    facts = getattr(error, "facts", None)
    return problems.respond(409, error.code, str(error), **({"facts": facts} if facts else {}))


for refusal in REFUSALS:
    api.add_exception_handler(refusal, on_refusal)
