"""The product as a process of its own, and a bounded load on it, for tests that need real sockets and crashes.

A `ServerProcess` is `zlaq serve` on a port of the loopback address; a `Load` asks it from a thread of its own, so
that a test may block while it kills and starts what is behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import httpx
import orjson

from demo.tokens import AUDIENCE, ISSUER, JWKS_FILE, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.issuer import Issuer

START_SECONDS = 40


def _free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ServerProcess:
    """One `zlaq serve`; `directory` holds its issuer's files and its log, `settings` are ZLAQ_* without the prefix."""

    dsn: str
    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=_free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What requests are sent to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """Standard error of every start so far."""
        return self.directory / "server.log"

    @property
    def issuer(self) -> Issuer:
        """Mints tokens that this server accepts."""
        return prepare(self.directory)

    def start(self, seconds: float = START_SECONDS) -> Self:
        """Start, and return once it is ready; raises `AssertionError` with its log if it is not in time."""
        self.launch()
        assert self.becomes_ready(seconds), self.log_file.read_text()[-3000:]
        return self

    def launch(self) -> None:
        """Start, whatever becomes of it."""
        prepare(self.directory)
        told = {
            "DATABASE_URL": self.dsn,
            "PORT": str(self.port),
            "JWKS": str(self.directory / JWKS_FILE),
            "ISSUER": ISSUER,
            "AUDIENCE": AUDIENCE,
            "AUDIT_HEADS": str(self.directory / "heads.jsonl"),
            **self.settings,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ZLAQ_")}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from server.cli import main; main()", "serve"],
                env=inherited | {f"ZLAQ_{name}": value for name, value in told.items()},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def becomes_ready(self, seconds: float, status: int = 200) -> bool:
        """Whether `/ready` answers so within this time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.address}/ready", timeout=5).status_code == status:
                    return True
            time.sleep(0.05)
        return False

    @property
    def resident_bytes(self) -> int:
        """Memory that the process occupies now."""
        return int(self._proc("statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        """Files and sockets that the process holds open now."""
        return sum(1 for _ in self._proc("fd").iterdir())

    def _proc(self, name: str) -> Path:
        assert self.process is not None
        return Path("/proc") / str(self.process.pid) / name

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the log has of an event, over every start so far."""
        lines = (line for line in self.log_file.read_bytes().splitlines() if line.startswith(b"{"))
        return [entry for entry in map(orjson.loads, lines) if entry["event"] == name]

    def kill(self) -> None:
        """Crash it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Ask it to stop, as an operator does; its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


@dataclass(frozen=True, eq=False)
class Operation:
    """What a client of the load sends; each is itself alone, so that it may be counted by.

    `choices` are the headers by which a caller chooses among the purposes and cases of its token.
    """

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    token: str | None = None
    choices: Mapping[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers."""
        identity = {} if self.token is None else {"authorization": f"Bearer {self.token}"}
        return {"content-type": "application/json"} | identity | dict(self.choices)

    @property
    def body(self) -> bytes:
        """The request's body."""
        return orjson.dumps({"query": self.query, "variables": dict(self.variables)})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request; no status means that no whole answer came. `began` is of the monotonic clock."""

    operation: Operation
    began: float
    seconds: float
    status: int | None = None
    request_id: str = ""
    body: bytes = b""
    error: str = ""


class Load:
    """So many clients asking one operation after the other, until the block ends; at most `at_most` requests."""

    def __init__(
        self, address: str, operations: Sequence[Operation], *, clients: int = 8, pause: float = 0.0,
        patience: float = 15, at_most: int = 50_000,
    ) -> None:  # fmt: skip
        self.outcomes: list[Outcome] = []
        self._address, self._operations = address, operations
        self._clients, self._pause, self._patience, self._at_most = clients, pause, patience, at_most
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    @property
    def answered(self) -> list[Outcome]:
        """Requests whose answer came whole, with data."""
        return [outcome for outcome in self.outcomes if outcome.status == 200]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(self._patience + 10)
        assert not self._thread.is_alive(), "a request hangs"

    async def _all(self) -> None:
        # The server closes what has been idle for five seconds.
        connector = aiohttp.TCPConnector(limit=self._clients, keepalive_timeout=2)
        async with aiohttp.ClientSession(
            self._address, connector=connector, timeout=aiohttp.ClientTimeout(self._patience)
        ) as client:
            await asyncio.gather(*(self._client(client, number) for number in range(self._clients)))

    async def _client(self, client: aiohttp.ClientSession, number: int) -> None:
        turn = number
        while not self._ending.is_set() and len(self.outcomes) < self._at_most:
            outcome = await self._ask(client, self._operations[turn % len(self._operations)])
            self.outcomes.append(outcome)
            turn += 1
            # Whoever was refused waits a little, as a polite client does.
            await asyncio.sleep(self._pause if outcome.status == 200 else 0.03 if outcome.status else 0.1)

    async def _ask(self, client: aiohttp.ClientSession, operation: Operation) -> Outcome:
        began = time.monotonic()
        try:
            async with client.post("/graphql", data=operation.body, headers=operation.headers) as reply:
                body = await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return Outcome(operation, began, time.monotonic() - began, error=type(error).__name__)
        spent = time.monotonic() - began
        return Outcome(operation, began, spent, reply.status, reply.headers["x-request-id"], body)
