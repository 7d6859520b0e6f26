"""The database away under load, in every way but a crash: frozen, cut off, without a free connection.

In each of them an answer is right and recorded or it is a refusal that invites to try again, nobody waits past the
deadline, the server's process stays as it is, and it takes up work by itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import asyncpg
import httpx
import pytest

from demo.embedded import EmbeddedPostgres, processes
from tests.drills.load import Operation, ServerProcess
from tests.drills.recovery import await_all, await_answer, await_sealed, steady
from tests.drills.wire import Fault, Wire
from tests.drills.workload import CASE, DEADLINE_MS, ONE, RECOVERY_SECONDS, SETTINGS, Workload, examine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLACK_SECONDS = 2.0
"""Two turns of a loaded machine, and what a full queue lets a request wait."""
HUNG_AFTER = DEADLINE_MS / 1000 + SLACK_SECONDS
FROZEN_SECONDS = HUNG_AFTER + 1.5
"""Longer than any request may take, so that one that waits for the database is seen."""


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """Stop every process of a database server in its tracks; the kernel still takes connections for it."""
    postmaster = server.pid
    assert postmaster is not None
    os.kill(postmaster, signal.SIGSTOP)  # first, so that it forks no more
    family = [postmaster, *(pid for pid, (_, parent) in processes().items() if parent == postmaster)]
    try:
        for pid in family[1:]:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in reversed(family):
            os.kill(pid, signal.SIGCONT)


def freeze(own: EmbeddedPostgres, served: ServerProcess, workload: Workload, times: int) -> str:
    """Freeze the database again and again, each time for longer than any request may take."""
    delays, refused = [], 0
    with workload.load(served, clients=16) as asked:
        await_all(asked, workload, time.monotonic())
        with steady(served) as grown:
            for _ in range(times):
                with frozen(own):
                    since = time.monotonic()
                    time.sleep(FROZEN_SECONDS)
                    assert httpx.get(f"{served.address}/ready", timeout=5).json()["database"] is False
                    during = [o for o in asked.outcomes if o.began > since]
                    thawed = time.monotonic()
                assert during
                assert {o.status for o in during} <= {503, 504}
                refused += len(during)
                delays.append(await_answer(asked, thawed))
                await_all(asked, workload, thawed)
        change = grown()
    found = examine(asked, own.dsn, workload, at_least=20 * times, hung_after=HUNG_AFTER)
    return (
        f"frozen {times} times for {FROZEN_SECONDS} s: {found}; {refused} asked and refused meanwhile;"
        f" answering again after {max(delays):.2f} s; {change}"
    )


@pytest.mark.prove
def test_the_database_is_frozen(own: EmbeddedPostgres, served: ServerProcess, workload: Workload):
    """Stopped for longer than the deadline: refused in time, and nothing is answered from memory."""
    print(freeze(own, served, workload, 2))  # noqa: T201


@pytest.mark.prove
@pytest.mark.xfail(reason="a case is looked up before the request's deadline begins", strict=True)
def test_the_database_is_frozen_while_a_case_is_looked_up(own: EmbeddedPostgres, served: ServerProcess):
    """Authentication asks the database too, and waits for it no longer than anything else may."""
    within = Operation(ONE.query, ONE.variables, served.issuer.mint("county"), CASE)
    print(freeze(own, served, Workload.only(served, {within: 1}), 1))  # noqa: T201


FOR_EVER = pytest.mark.xfail(reason="a shared batch waits for its connection for ever", strict=True)


def strike(own: EmbeddedPostgres, directory: Path, fault: Fault, seconds: float, times: int) -> str:
    """Let the network to the database suffer a fault, again and again."""
    delays = []
    with Wire(own.dsn) as wire, ServerProcess(wire.dsn, directory, SETTINGS) as served:
        workload = Workload.of(served)
        with workload.load(served, clients=16) as asked:
            await_all(asked, workload, time.monotonic())
            with steady(served) as grown:
                for _ in range(times):
                    wire.suffer(fault)
                    time.sleep(seconds)
                    wire.suffer(Fault.NONE)
                    over = time.monotonic()
                    delays.append(await_answer(asked, over))
                    await_all(asked, workload, over)
            change = grown()
        found = examine(asked, own.dsn, workload, at_least=20 * times, hung_after=HUNG_AFTER)
        assert wire.struck >= times
        assert sum(found.refused.values()) > 0, "the fault was not noticed: nothing was proved"
        return (
            f"{fault.name.lower()}: {wire.struck} connections struck in {times} times {seconds:.1f} s: {found};"
            f" answering again after {max(delays):.2f} s; {change}"
        )


@pytest.mark.prove
@pytest.mark.parametrize("fault", [Fault.CUT, Fault.HALF_CLOSE], ids=lambda fault: fault.name.lower())
def test_answers_of_the_database_are_cut(own: EmbeddedPostgres, tmp_path: Path, fault: Fault):
    """A connection that ends in the middle of an answer: none is shown in part, and another connection is made."""
    print(strike(own, tmp_path, fault, 3.0, 2))  # noqa: T201


@pytest.mark.prove
@pytest.mark.parametrize(
    "fault", [Fault.HOLD, pytest.param(Fault.SWALLOW, marks=FOR_EVER)], ids=lambda fault: fault.name.lower()
)
def test_the_network_to_the_database_goes_silent(own: EmbeddedPostgres, tmp_path: Path, fault: Fault):
    """Nothing arrives, and no end of a connection is told; afterwards the old connections go on, or never do."""
    print(strike(own, tmp_path, fault, FROZEN_SECONDS, 1))  # noqa: T201


OTHERS = """select count(pg_terminate_backend(pid)) from pg_stat_activity
    where backend_type = 'client backend' and pid <> all($1)"""


class Crowd:
    """Other users of the database server, who take every connection that it has."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._held: list[asyncpg.Connection] = []

    async def take(self) -> int:
        """Take what is free, ending the product's own sessions, until nobody else has any; how many are held."""
        owner = await asyncpg.connect(self._dsn)
        self._held.append(owner)
        until = time.monotonic() + RECOVERY_SECONDS
        alone = 0
        # A session that ends or begins has a slot that is not seen yet.
        while alone < 3:
            assert time.monotonic() < until, "somebody else always has a connection"
            others = await owner.fetchval(OTHERS, [held.get_server_pid() for held in self._held])
            alone = 0 if others else alone + 1
            # At once, or the product, which does not rest either, has what was freed.
            again = time.monotonic() + 0.05
            while time.monotonic() < again:
                with suppress(asyncpg.TooManyConnectionsError):
                    self._held.append(await asyncpg.connect(self._dsn))
                    alone = 0
        return len(self._held)

    async def leave(self) -> None:
        """Give everything back."""
        for connection in self._held:
            await connection.close()
        self._held.clear()


@pytest.mark.prove
async def test_no_connection_is_free(own: EmbeddedPostgres, served: ServerProcess, tmp_path: Path):
    """All connections are others': refused at once, a server does not start without any, and all goes on by itself."""
    workload = Workload.of(served)
    with workload.load(served) as asked, steady(served) as grown:
        await_all(asked, workload, time.monotonic())
        crowd = Crowd(own.dsn)
        try:
            held = await crowd.take()
            taken = time.monotonic()
            await asyncio.sleep(2)
            during = [o for o in asked.outcomes if o.began > taken]
            another = ServerProcess(own.dsn, tmp_path / "another", SETTINGS)
            began = time.monotonic()
            with pytest.raises(AssertionError) as refused:
                another.start()
            started = time.monotonic() - began
        finally:
            await crowd.leave()
        left = time.monotonic()
        delay = await_answer(asked, left)
        await_all(asked, workload, left)
        change = grown()
    assert another.process is not None
    assert another.process.returncode == 1
    assert "the database cannot be reached" in str(refused.value) or "too many clients" in str(refused.value)
    assert "Traceback" not in another.log_file.read_text()
    assert {(o.status) for o in during} == {503}
    # A refusal is no wait: without a connection there is nothing to wait for.
    assert max(o.seconds for o in during) < 1.5
    found = examine(asked, own.dsn, workload, at_least=20, hung_after=HUNG_AFTER)
    await_sealed(own.dsn)
    print(  # noqa: T201
        f"{held} connections taken: {found}; {len(during)} asked and refused meanwhile; a server that was started then"
        f" ended after {started:.1f} s; answering again after {delay:.2f} s; {change}"
    )
