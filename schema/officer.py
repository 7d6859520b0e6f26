"""The person behind an office's request: what services on persons want with every call, and no policy reads."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Officer:
    """An officer, from a verified token; never kept, logged or audited."""

    id_no: str = field(repr=False)
    """Citizen number, GB 11643-1999."""
    name: str = field(repr=False)
    department: str
    address: str = ""
    """IP address of the officer's connection."""
