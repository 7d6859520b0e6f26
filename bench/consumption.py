"""What processes use, as the kernel accounts for it: CPU from schedstat, in nanoseconds, and memory.

The tick-based utime and stime are not used: on virtual machines they were seen to be wrong by a factor of six.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

Usage = dict[tuple[int, int], int]
"""Nanoseconds on a CPU so far, by process and thread."""

_PROC = Path("/proc")


class Memory(NamedTuple):
    """MiB of one or more processes: pages mapped, and the same with shared pages divided among those who share them."""

    rss: float
    pss: float


def tree(*roots: int) -> list[int]:
    """Processes and all below them that live now."""
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for children in _threads(pid, "children"):
            with contextlib.suppress(OSError):
                waiting += map(int, children.read_text().split())
    return found


def on_cpu(schedstat: str) -> int:
    """Nanoseconds on a CPU, of the text of a schedstat file.

    >>> on_cpu("2400731 88127 31\\n")
    2400731
    """
    return int(schedstat.split(maxsplit=1)[0])


def usage(*roots: int) -> Usage:
    """What each thread below these processes has used so far."""
    found: Usage = {}
    for pid in tree(*roots):
        for path in _threads(pid, "schedstat"):
            with contextlib.suppress(OSError):
                found[pid, int(path.parent.name)] = on_cpu(path.read_text())
    return found


def _threads(pid: int, name: str) -> list[Path]:
    """A file of each thread; none if the process has ended meanwhile."""
    try:
        return list((_PROC / str(pid) / "task").glob(f"*/{name}"))
    except OSError:
        return []


def spent_ms(before: Usage, after: Usage) -> float:
    """Milliseconds of CPU between two looks; a thread that has ended in between counts nothing."""
    return sum(now - before.get(thread, 0) for thread, now in after.items()) / 1e6


def memory(*roots: int) -> Memory:
    """What these processes and all below them hold now, in MiB."""
    rss = pss = 0
    for pid in tree(*roots):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "Rss":
                rss += int(value.split()[0])
            elif name == "Pss":
                pss += int(value.split()[0])
    return Memory(rss / 1024, pss / 1024)
