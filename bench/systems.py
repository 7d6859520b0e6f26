"""The systems that are measured, as processes: how each is started, asked and understood."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import consumption, peers
from bench.stage import Stage, inherited
from bench.statements import write_best, write_floor
from bench.workload import body

PRODUCT: Final = "zlaq"
FLOORS: Final = ("F1", "F2")
AUDITED: Final = "F1 with audit"
SYSTEMS: Final = (PRODUCT, *FLOORS, *peers.PEERS)
"""What is compared; `AUDITED` exists only to tell what the audit costs."""
START_SECONDS = 180
# As PostgreSQL has them too: without, each large answer costs page faults.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "67108864", "MALLOC_TOP_PAD_": "4194304"}


class NotAnswering(RuntimeError):
    """A system did not start, or answers with an error."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: place, body on one line, bearer token (empty for systems that know no caller)."""

    path: str
    body: str
    token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers."""
        identity = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"Content-Type": "application/json"} | identity


class System(ABC):
    """One system that runs, of one or more processes."""

    name: str
    seals: bool = False
    """Whether work goes on after an answer has left, which belongs to what it costs."""

    def __init__(self, stage: Stage, port: int) -> None:
        self.stage, self.port = stage, port
        self.processes: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def start(self, processes: int) -> None:
        """Start so many processes on the port; `ready` waits for them."""

    @abstractmethod
    def request(self, operation: str, key: str, role: str) -> Request:
        """What one caller sends for one key."""

    @abstractmethod
    def value(self, operation: str, decoded: Any) -> Any:
        """The value of the root field of an answer: an object, or the list of a page's objects."""

    @property
    def pids(self) -> list[int]:
        """The processes that were started; children are found by `consumption`."""
        return [process.pid for process in self.processes]

    @property
    def log_file(self) -> Path:
        """What its processes have written."""
        return self.stage.folder / f"{self.name}.log"

    def ask(self, request: Request) -> Any:
        """One answer, decoded; raises `NotAnswering`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", request.path, request.body.encode(), request.headers)
            reply = connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise NotAnswering(f"{self.name}: {error!r}") from error
        finally:
            connection.close()
        decoded = json.loads(text) if reply.status == 200 else {}
        if "data" not in decoded or decoded.get("errors"):
            raise NotAnswering(f"{self.name}: {reply.status} {text[:500]!r}")
        return decoded

    def ready(self, seconds: float = START_SECONDS) -> None:
        """Return once it answers; raises `NotAnswering` with the end of its log if it does not in time."""
        until = time.monotonic() + seconds
        request = self.request("Q1", self.stage.keys[0], "ministry")
        while True:
            try:
                self.ask(request)
            except NotAnswering as error:
                ended = [process for process in self.processes if process.poll() is not None]
                if ended or time.monotonic() > until:
                    log = self.log_file.read_text(errors="replace")[-3000:] if self.log_file.exists() else ""
                    raise NotAnswering(f"{error}\n{log}") from error
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End every process, politely first."""
        below = consumption.tree(*self.pids)
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in below:
            # A child whose parent was killed would go on.
            with contextlib.suppress(ProcessLookupError):
                if pid not in self.pids:
                    os.kill(pid, signal.SIGKILL)

    def _spawn(self, command: Iterable[str], environment: Mapping[str, str]) -> None:
        with self.log_file.open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [*command], env=inherited() | _MALLOC | dict(environment), cwd=Path(__file__).parent.parent,
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )
            )  # fmt: skip


class Product(System):
    """The product: policy, identity and audit as always."""

    name, seals = PRODUCT, True

    def start(self, processes: int) -> None:
        """`zlaq serve`, or several processes of it that share the port."""
        port = str(self.port)
        zlaq = str(Path(sys.executable).with_name("zlaq"))
        alone, one_of_several = [zlaq, "serve"], [sys.executable, "-m", "bench.worker", port]
        for _ in range(processes):
            self._spawn(alone if processes == 1 else one_of_several, self.stage.environment | {"ZLAQ_PORT": port})

    def request(self, operation: str, key: str, role: str) -> Request:
        """The operation's document, with the caller's token."""
        return Request("/graphql", body(operation, key), self.stage.tokens[role])

    def value(self, operation: str, decoded: Any) -> Any:  # noqa: ARG002 - the port's signature
        """The root's value; of a page, its nodes."""
        (value,) = decoded["data"].values()
        return value["nodes"] if value is not None and "nodes" in value else value


class Floor(System):
    """A floor: F1 with or without the audit's part of the statement, or F2."""

    def __init__(self, stage: Stage, port: int, name: str) -> None:
        super().__init__(stage, port)
        self.name = name

    def start(self, processes: int) -> None:
        """Bare ASGI applications on one port."""
        statements = self.stage.folder / f"{self.name}.json"
        if self.name == "F2":
            write_best(statements)
        else:
            write_floor(statements, self.stage)
        command = [sys.executable, "-m", "bench.worker", str(self.port), str(statements), self.stage.dsn]
        for _ in range(processes):
            self._spawn([*command, "audited"] if self.name == AUDITED else command, {})

    def request(self, operation: str, key: str, role: str) -> Request:
        """The same body as the product's; the place says what is run."""
        return Request(f"/{operation}" if self.name == "F2" else f"/{role}/{operation}", body(operation, key))

    def value(self, operation: str, decoded: Any) -> Any:
        """What the statement has answered; F1's, as the product's, holds a page's nodes."""
        value = decoded["data"]["x"]
        return value if self.name == "F2" or operation == "Q1" else value["nodes"]


class Peer(System):
    """Another GraphQL server; it knows no caller."""

    def __init__(self, stage: Stage, port: int, name: str) -> None:
        super().__init__(stage, port)
        self.name = name

    def start(self, processes: int) -> None:
        """As `bench.peers` does."""
        self.processes.append(peers.start(self.name, self.stage.dsn, self.port, processes))

    def request(self, operation: str, key: str, role: str) -> Request:  # noqa: ARG002 - the port's signature
        """As `bench.peers` does."""
        return Request(*peers.request(self.name, operation, key))

    def value(self, operation: str, decoded: Any) -> Any:
        """In the product's names and formats, as `bench.peers` does."""
        value = peers.answer(self.name, operation, decoded)
        return value["nodes"] if isinstance(value, dict) and "nodes" in value else value


@contextmanager
def running(stage: Stage, names: Iterable[str], processes: int = 1) -> Iterator[dict[str, System]]:
    """Start these systems side by side, of so many processes each; ends them all. Raises `NotAnswering`."""
    with ExitStack() as stack:
        found: dict[str, System] = {}
        for name in names:
            system = _system(stage, name)
            stack.callback(system.stop)
            system.start(processes)
            found[name] = system
        for system in found.values():
            system.ready()
        yield found


def _system(stage: Stage, name: str) -> System:
    port = free_port()
    if name == PRODUCT:
        return Product(stage, port)
    return Floor(stage, port, name) if name in (*FLOORS, AUDITED) else Peer(stage, port, name)


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
