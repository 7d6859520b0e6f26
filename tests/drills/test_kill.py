"""Crashes under load: no answered request is without its durable audit record, and the product recovers by itself."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.drills.load import START_SECONDS
from tests.drills.trail import execute, run
from tests.drills.workload import CRASHED, DEADLINE_MS, HUNG_AFTER, RECOVERY_SECONDS, Examined, Workload, examine

if TYPE_CHECKING:
    from demo.embedded import EmbeddedPostgres
    from tests.drills.load import ServerProcess


TERMINATE = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'zlaq'"


def kill_database(own: EmbeddedPostgres, served: ServerProcess, workload: Workload, times: int) -> Examined:
    """Crash PostgreSQL again and again; the server's process lives on and needs nobody."""
    chance = random.Random(times)
    process = served.process
    assert process is not None
    with workload.load(served) as asked:
        for _ in range(times):
            before = len(asked.answered)
            time.sleep(chance.uniform(0.2, 0.7))
            own.kill()
            time.sleep(chance.uniform(0, 0.3))
            own.start()
            assert served.becomes_ready(RECOVERY_SECONDS), served.log_file.read_text()[-3000:]
            assert len(asked.answered) > before, "nothing was answered before the crash"
        until = time.monotonic() + RECOVERY_SECONDS
        known = len(asked.answered)
        while len(asked.answered) < known + 50 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(asked.answered) >= known + 50, "ready, but not answering"
    assert process.poll() is None
    return examine(asked, own.dsn, workload, at_least=20 * times)


def kill_server(own: EmbeddedPostgres, served: ServerProcess, workload: Workload, times: int) -> Examined:
    """Crash the server's process again and again; started anew it goes on with the same audit chain."""
    chance = random.Random(times)
    with workload.load(served, patience=START_SECONDS) as asked:
        for _ in range(times):
            before = len(asked.answered)
            time.sleep(chance.uniform(0.3, 0.8))
            served.kill()
            assert len(asked.answered) > before, "nothing was answered before the crash"
            served.start()
        time.sleep(0.5)
    # It listens before it has started, so a request may wait for the start.
    found = examine(
        asked, own.dsn, workload, at_least=20 * times, broken=CRASHED, hung_after=START_SECONDS + HUNG_AFTER
    )
    assert served.stop() == 0
    assert served.events("audit_failed") == []
    return found


def test_the_database_is_killed_five_times(own: EmbeddedPostgres, served: ServerProcess, workload: Workload):
    """`kill -9` of PostgreSQL under load: what was answered is recorded, and the server takes up work by itself."""
    kill_database(own, served, workload, 5)


def test_the_server_is_killed_five_times(own: EmbeddedPostgres, served: ServerProcess, workload: Workload):
    """`kill -9` of the server under load: what was answered is recorded, and the trail goes on unbroken."""
    kill_server(own, served, workload, 5)


def test_a_connection_is_killed_while_its_statement_runs(
    own: EmbeddedPostgres, served: ServerProcess, workload: Workload
):
    """A backend that is terminated takes only its own statements with it; nobody waits for their deadline."""
    with workload.load(served) as asked:
        for _ in range(10):
            time.sleep(0.1)
            run(execute(own.dsn, TERMINATE))
        time.sleep(0.5)
    examine(asked, own.dsn, workload, at_least=10)
    # A caller whose statement was lost is told so at once, and not when its deadline comes.
    assert max(o.seconds for o in asked.outcomes) < DEADLINE_MS / 1000


def test_a_stopped_server_answers_what_it_has_begun(own: EmbeddedPostgres, served: ServerProcess, workload: Workload):
    """SIGTERM under load: no answer is cut, each is recorded, and the process ends with 0 in time."""
    with workload.load(served) as asked:
        time.sleep(0.6)
        began = time.monotonic()
        assert served.stop() == 0
        assert time.monotonic() - began < 15
        time.sleep(0.2)
    examine(asked, own.dsn, workload, at_least=20, broken=CRASHED)


@pytest.mark.prove
def test_the_database_is_killed_twenty_times(own: EmbeddedPostgres, served: ServerProcess, workload: Workload):
    """The long form of the drill."""
    print(f"PostgreSQL killed 20 times: {kill_database(own, served, workload, 20)}")  # noqa: T201


@pytest.mark.prove
def test_the_server_is_killed_twenty_times(own: EmbeddedPostgres, served: ServerProcess, workload: Workload):
    """The long form of the drill."""
    print(f"server killed 20 times: {kill_server(own, served, workload, 20)}")  # noqa: T201
