"""docs/howto/add-a-source.md, followed: its files are written, its commands run, and they print what it shows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.seed import wellknown
from demo.tokens import AUDIENCE, ISSUER, ISSUER_FILE, JWKS_FILE, prepare
from server.identity import Authenticator, NoCases
from server.pipeline import Question
from server.service import Service
from server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs/howto/add-a-source.md").read_text(encoding="utf-8")
PORT = "8110"
"""Of the made-up system, as the page has it."""
END = "what the page shows ends here:"
STARTED = "(Press CTRL+C to quit)"
CHANGING = (r"(?<=clock: )[+-]\d+\.\d(?= s)", r'(?<="fetchedAt": ")[^"]+')
"""What differs from run to run."""
EXIT_CODES = {"wrong.toml zlaq": 2, "BEIJING_SECRET=other": 1}
OFFICERS_ALONE = {"stopWorkReason", "workersOnSite", "safetyOfficer", "safetyOfficerMobile"}


def block(info: str, number: int = 0) -> str:
    """One fenced block by its info string."""
    found = re.findall(rf"^```{info}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found[number])


def shown() -> list[tuple[str, str]]:
    """Every command with the output below it."""
    text = "".join(re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
    return [(command, output) for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)]


def lasting(text: str) -> str:
    """A text without what differs from run to run."""
    for changing in CHANGING:
        text = re.sub(changing, "*", text)
    return text.strip("\n")


@dataclass(frozen=True)
class Reader:
    """Somebody at a terminal of their own who has followed the page up to its first command."""

    terminal: asyncio.subprocess.Process
    folder: Path
    settings: Settings

    async def enter(self, command: str) -> tuple[int, str]:
        """Exit code and everything printed."""
        code, printed = await self.enter_until(END, f"{command}\nprintf '\\n{END}%s\\n' $?")
        return int(code), printed.removesuffix("\n")

    async def enter_until(self, awaited: str, commands: str) -> tuple[str, str]:
        """The rest of the line that is awaited, and everything printed before it."""
        assert self.terminal.stdin is not None
        assert self.terminal.stdout is not None
        self.terminal.stdin.write(f"{commands}\n".encode())
        printed = ""
        async with asyncio.timeout(60):
            while line := (await self.terminal.stdout.readline()).decode():
                if line.startswith(awaited):
                    return line.removeprefix(awaited), printed
                printed += line
        pytest.fail(f"the terminal ended: {printed}")

    async def ask(self, service: Service, role: str) -> dict[str, Any]:
        """The page's question, as a caller of the demo."""
        assert self.settings.demo_issuer is not None
        headers = []
        if role != "public":
            token = prepare(self.settings.demo_issuer.parent).mint(role)
            headers.append((b"authorization", b"Bearer " + token.encode()))
        subject = await Authenticator.from_settings(self.settings, NoCases()).authenticate(headers)
        answer = await service.answer(Question(block("graphql"), {}, None), subject, f"reader-{role}")
        decoded: dict[str, Any] = json.loads(answer.body)
        return decoded


@pytest.fixture
def settings(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the line that `make up` prints would set, and the page's own exports."""
    for name, value in re.findall(r"(BEIJING_\w+)=(\S+)", block("sh")):
        monkeypatch.setenv(name, value)
    prepare(tmp_path)
    return Settings(
        database_url=database, jwks=str(tmp_path / JWKS_FILE), issuer=ISSUER, audience=AUDIENCE,
        demo_issuer=tmp_path / ISSUER_FILE, sources=tmp_path / "own" / "sources.toml",
    )  # fmt: skip


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Reader]:
    """The page followed up to its first command, on a port of our own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert settings.sources is not None
    folder = settings.sources.parent
    folder.mkdir()
    for name, info in (("beijing.py", "python"), ("sources.toml", "toml"), ("query.graphql", "graphql")):
        (folder / name).write_text(block(info).replace(PORT, str(port)), encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ZLAQ_", "BEIJING_"))}
    printed_by_up = {
        "ZLAQ_DATABASE_URL": settings.database_url, "ZLAQ_ISSUER": ISSUER, "ZLAQ_AUDIENCE": AUDIENCE,
        "ZLAQ_JWKS": str(settings.jwks), "ZLAQ_DEMO_ISSUER": str(settings.demo_issuer),
    }  # fmt: skip
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    terminal = await asyncio.create_subprocess_exec(
        "bash", cwd=CHECKOUT, env=inherited | printed_by_up | {"PATH": path, "COLUMNS": "100"}, start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        reader = Reader(terminal, folder, settings)
        await reader.enter_until(STARTED, block("sh").replace("THE_FOLDER", shlex.quote(str(folder))))
        yield reader
    finally:
        os.killpg(terminal.pid, signal.SIGKILL)
        await terminal.communicate()


async def test_the_page_shows_what_happens(settings: Settings) -> None:
    """Each command in order; and at the end the system goes away."""
    async with reading(settings) as reader:
        commands = shown()
        assert len(commands) == 8
        for command, output in commands:
            code, printed = await reader.enter(command)
            expected = block("json ministry") if "zlaq query" in command else output
            if "zlaq query" in command:
                answer = json.loads(printed)
                assert answer["extensions"]["sources"] == {"beijing": "OK"}
                printed, expected = (json.dumps(found) for found in (answer["data"], json.loads(expected)))
            assert lasting(printed) == lasting(expected), command
            assert code == next((code for part, code in EXIT_CODES.items() if part in command), 0), command

        async with Service.open(settings) as service:
            seen = {role: await reader.ask(service, role) for role in ("county", "province", "ministry", "public")}
            await reader.enter("kill %1; wait")
            later = {role: await reader.ask(service, role) for role in ("county", "ministry")}

    sites = {role: answer["data"]["project"]["siteStatus"] for role, answer in seen.items()}
    told = json.loads(block("json ministry"))["project"]["siteStatus"]
    for role in ("county", "province"):
        assert {name for name, value in sites[role].items() if value != told[name]} == {*OFFICERS_ALONE, "provenance"}
        assert all(sites[role][name] is None for name in OFFICERS_ALONE)
    assert (sites["public"], seen["public"]["extensions"].get("sources")) == (None, None)
    assert later["county"]["data"]["project"]["siteStatus"]["provenance"]["stale"] is True
    assert later["ministry"]["data"]["project"] == {"manageRegionNodeId": "116100", "siteStatus": None}
    (error,) = later["ministry"]["errors"]
    assert (error["extensions"]["code"], error["path"]) == ("ZQ404", ["project", "siteStatus"])


def test_the_page_is_about_a_record_of_every_demo() -> None:
    """Its project is one of those that are the same at every scale; and its script is short."""
    assert f'probe = "{wellknown.MUNICIPALITY}"' in block("toml")
    assert len(block("python").splitlines()) <= 40
