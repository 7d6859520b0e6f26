"""The query page: complete, from here alone, and without tokens unless it is the demo."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette

from demo.tokens import ISSUER_FILE, prepare
from server.pages import page_routes
from server.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PAGES = files("server").joinpath("pages")
LIBRARIES = ("graphiql", "react", "react-dom")


def client(host: str = "127.0.0.1:8000", **settings: str) -> httpx.AsyncClient:
    given = Settings.from_environment({"ZLAQ_DATABASE_URL": "postgresql://h/d"} | settings)
    transport = httpx.ASGITransport(Starlette(routes=page_routes(given)))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


async def test_everything_the_page_names_is_served_from_here():
    html = PAGES.joinpath("index.html").read_text(encoding="utf-8")
    named = [address for address in re.findall(r'(?:src|href)="([^"]*)"', html) if address != "data:,"]
    assert len(named) == 6
    async with client() as http:
        for address in ("", *named):
            answer = await http.get(f"/{address}")
            assert answer.status_code == 200, address
            assert (
                "default-src 'none'; script-src 'self'; style-src 'self'" in answer.headers["content-security-policy"]
            )
            assert "unsafe" not in answer.headers["content-security-policy"]
            again = await http.get(f"/{address}", headers={"if-none-match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/pages.py", "/../settings.py", "/vendor/", "/vendor/README.md", "/%2e%2e/cli.py", "/index.html"]
)
async def test_nothing_else_is_served(path):
    async with client() as http:
        assert (await http.get(path)).status_code == 404


def test_our_own_page_has_no_inline_script_or_style_and_no_foreign_address():
    for name in ("index.html", "app.js", "app.css"):
        text = PAGES.joinpath(name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|//[a-z]+\.", text)
    html = PAGES.joinpath("index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", html)


def test_vendored_files_are_small_and_keep_their_licences():
    everything = [path for folder in ("vendor", ".") for path in PAGES.joinpath(folder).rglob("*")]  # type: ignore[attr-defined]
    assert sum(path.stat().st_size for path in set(everything) if path.is_file()) < 5_000_000
    for library in LIBRARIES:
        assert "MIT" in PAGES.joinpath("vendor", library, "LICENSE").read_text(encoding="utf-8")


async def test_without_a_demo_there_are_no_tokens():
    async with client() as http:
        assert (await http.get("/demo/tokens")).status_code == 404


async def test_the_demos_tokens_and_first_query(tmp_path: Path):
    prepare(tmp_path)
    demo = {"ZLAQ_DEMO_ISSUER": str(tmp_path / ISSUER_FILE)}
    async with client(**demo) as http:
        answer = await http.get("/demo/tokens")
        assert answer.headers["cache-control"] == "no-store"
        told = answer.json()
        roles = {caller["role"]: caller["token"] for caller in told["callers"]}
        assert list(roles) == ["public", "county", "city", "province", "ministry", "enterprise", "person"]
        assert [role for role, token in roles.items() if not token] == ["public"]
        assert "project(" in told["query"]
    async with client("evil.example", **demo) as http:
        assert (await http.get("/demo/tokens")).status_code == 404
