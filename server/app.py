"""The Starlette application: `/graphql` as a bare ASGI endpoint, health, metrics and the query page."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from schema.regions import load_regions
from server.identity import Authenticator
from server.keys import KeySet
from server.limits import (
    GRAPHQL,
    JSON,
    Gate,
    MediaType,
    MethodNotAllowed,
    TooBusy,
    negotiate,
    parse_envelope,
    read_body,
    require_json,
)
from server.observe import Event, digest, log, logged
from server.pages import page_routes
from server.pipeline import Answer, Question
from server.service import Service, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import Lifespan, Receive, Scope, Send

    from adapters.base import Source
    from policy.subject import Subject
    from server.settings import Settings


class Application(Starlette):
    """Starlette, but that `/graphql` is called before middleware and routing.

    The endpoint handles its own errors, and they would be a tenth of a small request's CPU.
    """

    def __init__(self, endpoint: GraphQLEndpoint, routes: Sequence[Route], lifespan: Lifespan[Starlette]) -> None:
        super().__init__(routes=[Route("/graphql", endpoint), *routes], lifespan=lifespan)
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI call."""
        if scope["type"] == "http" and scope["path"] == "/graphql":
            await self._endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


_CONTENT_TYPES: dict[MediaType, bytes] = {media: f"{media}; charset=utf-8".encode() for media in (JSON, GRAPHQL)}


class GraphQLEndpoint:
    """`POST /graphql`: identity, limits, one operation. A class, so that Starlette passes the bare ASGI call on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gate = Gate(settings.max_concurrent, settings.max_queued, settings.queue_wait_ms)
        self.service: Service | None = None
        self.authenticator: Authenticator | None = None

    def attach(self, service: Service) -> None:
        """Take up work with a service that is open."""
        keys = KeySet.load(self._settings.jwks) if self._settings.jwks is not None else None
        self.authenticator = Authenticator(
            keys,
            self._settings.issuer or "",
            self._settings.audience or "",
            load_regions(),
            service.cases,
            self._settings.leeway_s,
        )
        # Read when scraped, so that an idle process does not show its last request for ever.
        service.metrics.in_flight.set_function(lambda: self._gate.running)
        service.metrics.waiting.set_function(lambda: self._gate.waiting)
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request_id, started = secrets.token_hex(8), time.perf_counter()
        media, subject = JSON, None
        extra: list[tuple[bytes, bytes]] = []
        try:
            headers = dict(scope["headers"])
            media = negotiate(_text(headers.get(b"accept")))
            service, subject = await self._identified(scope)
            answer = await self._answer(service, subject, scope, receive, headers, request_id)
        except TooBusy as busy:
            answer = refusal(busy, request_id)
            extra.append((b"retry-after", str(busy.retry_after_s).encode()))
        except Exception as error:  # noqa: BLE001 - the rim: everything becomes a catalogue error
            answer = refusal(error, request_id)
        self._tell(request_id, subject, answer, time.perf_counter() - started)
        if answer.status == 405:
            extra.append((b"allow", b"POST"))
        if answer.status == 401:
            extra.append((b"www-authenticate", b"Bearer"))
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    (b"content-type", _CONTENT_TYPES[media]),
                    (b"content-length", str(len(answer.body)).encode()),
                    (b"cache-control", b"no-store"),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    *extra,
                ],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    async def _identified(self, scope: Scope) -> tuple[Service, Subject]:
        if self.service is None or self.authenticator is None:
            raise TooBusy(1)
        if scope["method"] != "POST":
            raise MethodNotAllowed
        subject = await self.authenticator.authenticate(scope["headers"])
        if subject.officer is not None and scope.get("client"):
            subject = replace(subject, officer=replace(subject.officer, address=scope["client"][0]))
        return self.service, subject

    async def _answer(
        self, service: Service, subject: Subject, scope: Scope, receive: Receive, headers: Mapping[bytes, bytes],
        request_id: str,
    ) -> Answer:  # fmt: skip
        require_json(_text(headers.get(b"content-type")))
        # A turn is taken before the body is read, so slow senders count as requests too.
        async with self._gate:
            until = asyncio.get_running_loop().time() + self._settings.request_deadline_ms / 1000
            async with asyncio.timeout_at(until):
                body = await read_body(receive, scope["headers"], self._settings.max_body_bytes)
                query, variables, operation_name = parse_envelope(body)
                return await service.answer(Question(query, variables, operation_name), subject, request_id, until)

    def _tell(self, request_id: str, subject: Subject | None, answer: Answer, seconds: float) -> None:
        if self.service is not None:
            self.service.metrics.answered(answer.status, answer.code, seconds)
        if logged(Event.REQUEST):
            log(
                Event.REQUEST,
                request=request_id,
                subject=digest(subject.id) if subject else None,
                document=answer.document[:16] or None,
                status=answer.status,
                code=answer.code,
                ms=round(seconds * 1000, 3),
            )


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")


def build_app(settings: Settings, *entity_packages: str, sources: Mapping[str, Source] | None = None) -> Starlette:
    """The application of one process; its lifespan opens and closes the service."""
    endpoint = GraphQLEndpoint(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Service.open(settings, *entity_packages, sources=sources) as service:
            endpoint.attach(service)
            app.state.service = service
            revision = service.snapshot.revision.id if service.snapshot else None
            log(Event.STARTED, address=f"{settings.host}:{settings.port}", revision=revision)
            yield
            endpoint.service = None
        log(Event.STOPPED)

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_request: Request) -> Response:
        parts = dict(await endpoint.service.ready()) if endpoint.service else {"service": False}
        return JSONResponse(parts, status_code=200 if all(parts.values()) else 503)

    async def metrics(_request: Request) -> Response:
        body = endpoint.service.metrics.exposition() if endpoint.service else b""
        return Response(body, media_type="text/plain; version=0.0.4")

    routes = [
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics),
        *page_routes(settings),
    ]
    return Application(endpoint, routes, lifespan)
