"""Starts the counterparts as processes of their own, and writes the configuration that leads to them."""

from __future__ import annotations

import json
import os
import secrets
import selectors
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from demo.counterparts.handle import Counterpart

if TYPE_CHECKING:
    from typing import IO

_PATIENCE_S = 30
_CREDENTIALS = {
    "zhejiang": ("app_key", "app_secret"),
    "hubei": ("client_id", "secret"),
    "jiangsu": ("client_id", "secret"),
    "guangdong": ("client_id", "secret"),
    "shandong": ("user", "password"),
    "national": ("appsecret", "appkey"),
}
_PROGRAMS = {"hubei": "client", "jiangsu": "client"}
_FACTS: Mapping[str, Mapping[str, Any]] = {"hubei": {"province": "42"}, "jiangsu": {"province": "32"}}
_FIXED = {"shandong": {"user": "shandong_zlaq"}}


class CounterpartUnavailable(RuntimeError):
    """A counterpart did not start; the text says which, and where its log lies."""


class Task(NamedTuple):
    """A program to start: what it is called, its module, and what it is told."""

    name: str
    module: str
    credentials: Mapping[str, str] = {}
    facts: Mapping[str, Any] = {}


class Counterparts:
    """Running counterparts; ends with `stop`, at the end of a `with`, or with the process that started it."""

    def __init__(self, directory: Path, tasks: Iterable[Task]) -> None:
        self.sources = directory / "sources.toml"
        """The configuration that leads to them."""
        self.systems: Mapping[str, Counterpart] = {}
        """By name."""
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        tokens: dict[str, str] = {}
        try:
            for task in tasks:
                tokens[task.name] = secrets.token_hex(16)
                self._running[task.name] = _started(task, tokens[task.name], directory)
            ports = _ready(self._running, directory)
        except BaseException:
            self.stop()
            raise
        self.systems = {
            name: Counterpart(name, said["port"], said["control"], tokens[name], self._running[name].pid)
            for name, said in ports.items()
        }

    def stop(self) -> None:
        """End every process, and wait for it; harmless when nothing runs."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        self._running.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(directory: Path, dsn: str) -> Counterparts:
    """Start all counterparts at once and wait until each is ready; `dsn` is a superuser's address of a PostgreSQL
    server, in which Shandong's database is made anew.

    Writes `sources.toml` and the credentials it names into the directory, which is made if need be and must belong to
    nobody else. Raises `CounterpartUnavailable`.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    tasks = [_task(name, directory, dsn) for name in _CREDENTIALS]
    running = Counterparts(directory, tasks)
    template = files("demo.counterparts").joinpath("sources.toml").read_text(encoding="utf-8")
    for name, system in running.systems.items():
        template = template.replace(f"{{port_{name}}}", str(system.port))
    running.sources.write_text(template.replace("{directory}", str(directory.resolve())), encoding="utf-8")
    return running


def _task(name: str, directory: Path, dsn: str) -> Task:
    """What a program is told; its credentials are new at every start, and written where `sources.toml` finds them."""
    drawn = {what: secrets.token_hex(16) for what in _CREDENTIALS[name]} | _FIXED.get(name, {})
    for what, value in drawn.items():
        _write(directory / f"{name}-{what}", value)
    facts = {"dsn": dsn} if name == "shandong" else _FACTS.get(name, {})
    return Task(name, _PROGRAMS.get(name, name), drawn, facts)


def _write(path: Path, secret: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(secret + "\n", encoding="utf-8")


def _started(task: Task, token: str, directory: Path) -> subprocess.Popen[bytes]:
    with (directory / f"{task.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"demo.counterparts.{task.module}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
        )  # fmt: skip
    told = {"token": token, "credentials": task.credentials, "facts": task.facts}
    if process.stdin:
        process.stdin.write(json.dumps(told).encode() + b"\n")
        process.stdin.flush()
    return process


def _ready(running: Mapping[str, subprocess.Popen[bytes]], directory: Path) -> dict[str, dict[str, int]]:
    """What each program says when it is ready; raises `CounterpartUnavailable` if one ends or takes too long."""
    found: dict[str, dict[str, int]] = {}
    deadline = time.monotonic() + _PATIENCE_S
    with selectors.DefaultSelector() as selector:
        for name, process in running.items():
            selector.register(_output(process), selectors.EVENT_READ, name)
        while len(found) < len(running):
            events = selector.select(deadline - time.monotonic())
            if not events:
                late = ", ".join(running.keys() - found.keys())
                raise CounterpartUnavailable(f"not ready after {_PATIENCE_S} s: {late}; logs lie in {directory}")
            for key, _ in events:
                # A line is written whole: a pipe takes so few bytes at once.
                line = os.read(key.fd, 4096)
                if not line:
                    raise CounterpartUnavailable(f"{key.data} ended at once; its log is {directory}/{key.data}.log")
                found[key.data] = json.loads(line)
                selector.unregister(key.fileobj)
    return found


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise RuntimeError("started without a pipe")
    return process.stdout
