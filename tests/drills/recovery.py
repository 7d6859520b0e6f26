"""What a server's process must show around a fault: it lives on, grows by nothing, and answers again by itself."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.drills.trail import execute, run
from tests.drills.workload import RECOVERY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.drills.load import Load, ServerProcess
    from tests.drills.workload import Workload

GROWTH_BYTES = 64 * 2**20
GROWTH_DESCRIPTORS = 24
"""What a drill may leave behind in the process: its clients' connections and a few of its own."""
UNSEALED = """select count(*) from audit.record r
    where not exists (select from audit.seal s where (r.xid, r.seq) <= (s.last_xid, s.last_seq))"""


@contextmanager
def steady(served: ServerProcess) -> Iterator[Callable[[], str]]:
    """Assert that the process lives on through the block and is as big afterwards; tells by how much it grew."""
    process = served.process
    assert process is not None
    memory, descriptors = served.resident_bytes, served.descriptors

    def grown() -> str:
        return f"+{(served.resident_bytes - memory) / 2**20:.1f} MB, {served.descriptors - descriptors:+d} descriptors"

    yield grown
    assert process.poll() is None
    assert served.resident_bytes - memory < GROWTH_BYTES, grown()
    assert served.descriptors - descriptors <= GROWTH_DESCRIPTORS, grown()


def await_answer(asked: Load, since: float) -> float:
    """Seconds from a moment until a request that was sent after it is answered."""
    until = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < until:
        times = [o.began + o.seconds for o in reversed(asked.answered[-200:]) if o.began >= since]
        if times:
            return min(times) - since
        time.sleep(0.02)
    raise AssertionError(f"nothing was answered in {RECOVERY_SECONDS} s after the database had come back")


def await_all(asked: Load, workload: Workload, since: float) -> None:
    """Wait until every operation has been answered again."""
    until = time.monotonic() + RECOVERY_SECONDS
    while left := set(workload.records) - {o.operation for o in asked.answered if o.began >= since}:
        assert time.monotonic() < until, [f"{o.query} {o.choices}" for o in left]
        time.sleep(0.05)


def await_sealed(dsn: str) -> None:
    """Wait until every record is sealed."""
    until = time.monotonic() + RECOVERY_SECONDS
    while number := run(execute(dsn, UNSEALED))[0][0]:
        assert time.monotonic() < until, f"{number} records are not sealed {RECOVERY_SECONDS} s after the fault"
        time.sleep(0.2)
