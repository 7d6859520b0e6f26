"""A row as the policy sees it: its seven policy attributes and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policy.subject import ABSENT
from schema.predicate import POLICY_ATTRIBUTES, Value
from schema.regions import MINISTRY

SENSITIVITIES: Final = range(10)


@dataclass(frozen=True, slots=True)
class Row:
    """The policy attributes of one row: text is '-' where there is none, `sens` is 0 to 9."""

    manage: str = MINISTRY
    site: str = ABSENT
    owner_dept: str = ABSENT
    holder_uscc: str = ABSENT
    holder_person: str = ABSENT
    case_no: str = ABSENT
    sens: int = 0

    def __post_init__(self) -> None:
        if self.sens not in SENSITIVITIES:
            raise ValueError("a sensitivity is 0 to 9")

    @classmethod
    def of(cls, attributes: Mapping[str, Value | None]) -> Row:
        """Read from a mapping keyed "@manage" and so on; derived prefixes are ignored.

        Raises `KeyError` for a missing attribute and `TypeError` for one that is NULL or of the wrong type.
        """
        found: dict[str, str | int] = {}
        for name in POLICY_ATTRIBUTES:
            value = attributes[name]
            if not isinstance(value, int if name == "@sens" else str) or isinstance(value, bool):
                raise TypeError(f"{name} is not what a policy attribute can be")
            found[name.removeprefix("@")] = value
        return cls(**found)  # type: ignore[arg-type]

    @property
    def attributes(self) -> dict[str, Value | None]:
        """The same, keyed as predicates name them."""
        return {name: getattr(self, name.removeprefix("@")) for name in POLICY_ATTRIBUTES}
