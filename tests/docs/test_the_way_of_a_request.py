"""docs/architecture.md names the functions that a request goes through, in the order in which they are first called."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx

from demo.tokens import AUDIENCE, ISSUER, JWKS_FILE, prepare
from server.app import build_app
from tests.docs.way import PAGE, ROOT, Step, renumbered, steps

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from demo.counterparts import Counterparts
    from server.settings import Settings

QUERY = """query ($first: Int!) {
  projects(first: $first) { nodes { projectNo name totalInvestment siteStatus { name } } pageInfo { endCursor } }
}"""


def test_line_numbers_are_true() -> None:
    """`make docs` writes them anew."""
    assert PAGE.read_text() == renumbered(PAGE.read_text())


async def test_a_request_goes_this_way(settings: Settings, counterparts: Counterparts, tmp_path: Path) -> None:
    """A county's first request for a page with a remote value, nothing being cached yet, traced call by call."""
    issuer = prepare(tmp_path)
    own = replace(
        settings, sources=counterparts.sources, jwks=str(tmp_path / JWKS_FILE), issuer=ISSUER, audience=AUDIENCE
    )
    app = build_app(own)
    called: dict[Step, None] = {}

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(ROOT)):
            called.setdefault(Step(code.co_filename.removeprefix(f"{ROOT}/"), code.co_qualname))

    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://way") as client:
            headers = {"authorization": f"Bearer {issuer.mint('county')}"}
            sys.setprofile(note)
            try:
                reply = await client.post(
                    "/graphql", json={"query": QUERY, "variables": {"first": 200}}, headers=headers
                )
            finally:
                sys.setprofile(None)
    assert reply.status_code == 200
    assert any(node["siteStatus"] for node in reply.json()["data"]["projects"]["nodes"])
    way = steps(PAGE.read_text())
    assert len(way) > 30
    assert [step for step in way if step not in called] == []
    assert way == [step for step in called if step in set(way)]
