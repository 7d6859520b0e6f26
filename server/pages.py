"""The query page (GraphiQL) from our own files, and in demo mode the tokens that its caller switch uses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.issuer import PUBLIC, Issuer

if TYPE_CHECKING:
    from starlette.requests import Request

    from server.settings import Settings

# GraphiQL's style sheet carries its fonts and icons within itself, as data.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self' data:; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FILES = {
    "": "index.html",
    "app.css": "app.css",
    "app.js": "app.js",
    "vendor/graphiql/graphiql.min.css": "vendor/graphiql/graphiql.min.css",
    "vendor/graphiql/graphiql.min.js": "vendor/graphiql/graphiql.min.js",
    "vendor/react/react.production.min.js": "vendor/react/react.production.min.js",
    "vendor/react-dom/react-dom.production.min.js": "vendor/react-dom/react-dom.production.min.js",
}
"""All there is, by address: no path of a request ever becomes a path of the file system."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


@dataclass(frozen=True, slots=True)
class Page:
    """A file, read once at start."""

    body: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, name: str) -> Page:
        """Read a file of the package `server/pages/`."""
        body = files("server").joinpath("pages", name).read_bytes()
        return cls(body, _TYPES[name.rpartition(".")[2]], f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    async def __call__(self, request: Request) -> Response:
        """Answer with the file, or that the browser's copy is current."""
        headers = HEADERS | {"ETag": self.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def page_routes(settings: Settings) -> list[Route]:
    """The routes of the query page; `/demo/tokens` exists in demo mode only."""
    routes = [Route(f"/{address}", Page.read(name).__call__, methods=["GET"]) for address, name in _FILES.items()]
    if settings.demo_issuer is not None:
        issuer = Issuer.load(settings.demo_issuer)

        async def tokens(request: Request) -> Response:
            # A foreign page whose name was rebound to this address still sends its own name.
            if request.url.hostname not in _LOOPBACK:
                return Response(status_code=404)
            callers = [{"role": PUBLIC, "title": "公众（无令牌）", "token": None}]
            callers += [
                {"role": name, "title": role.title, "token": issuer.mint(name)} for name, role in issuer.roles.items()
            ]
            headers = HEADERS | {"Cache-Control": "no-store"}
            return JSONResponse({"callers": callers, "query": issuer.query}, headers=headers)

        routes.append(Route("/demo/tokens", tokens, methods=["GET"]))
    return routes
