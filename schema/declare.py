"""How an entity is declared: one class, one file; every other form of it derives from the result, an `Entity`.

The decorators only record what the class body says. Names in annotations are resolved when a registry is built
(`schema.registry`), so entities may refer to each other from different files in any order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


class Sharing(StrEnum):
    """Class of an attribute: 国发〔2016〕51号 types of sharing, and personal information (个人信息保护法)."""

    PUBLIC = "PUBLIC"
    SHARED = "SHARED"
    CONDITIONAL = "CONDITIONAL"
    RESTRICTED = "RESTRICTED"
    PERSONAL = "PERSONAL"


PUBLIC, SHARED, CONDITIONAL, RESTRICTED, PERSONAL = Sharing


class Mask(StrEnum):
    """What remains of a masked value; `NOTHING` is null, and what no rule needs to mask."""

    NOTHING = "NOTHING"
    CITIZEN_NO = "CITIZEN_NO"
    PERSON_NAME = "PERSON_NAME"
    PHONE = "PHONE"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of an entity or value type."""

    name: str
    annotation: str
    title: str
    sharing: Sharing | None
    column: str = ""
    mask: Mask = Mask.NOTHING
    standard: str = ""
    unit: str = ""
    cost: int = 0
    filterable: bool = False
    sortable: bool = False
    always: bool = False
    """Data is never missing (the column is NOT NULL); the output field stays nullable, since a right may be."""
    columns: Mapping[str, str] | None = None
    """For a value type spread over columns: its attribute name to column (a value type is else one jsonb column)."""
    beside: str = ""
    """For an attribute of a remote value: the local record's attribute that says the same, to be compared with."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A link to another entity: to-one by a local column, to-many by the target's column."""

    name: str
    annotation: str
    title: str
    by: str
    """Attribute that holds the key of the other side: local for to-one, the target's for to-many."""
    order: tuple[str, ...] = ()
    """Default order of a to-many list: attribute names, "-" before a descending one."""
    covering: tuple[str, ...] = ()
    """Attributes of the target that its index carries, so that the list is read from the index alone."""
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Remote:
    """A value that other systems answer, asked by an attribute of the local record.

    Who answers is configured by the field's coordinate: the source that covers the record's managing region most
    closely, or with `across` every source that offers the field, merged in `order`.
    """

    name: str
    annotation: str
    title: str
    sharing: Sharing
    by: str
    cost: int = 10
    order: tuple[str, ...] = ()
    """Order of a list: attribute names of the value type, "-" before a descending one; the last is its natural key."""
    across: bool = False
    officer: bool = False
    """Whether the service is bound to the calling officer, who must give a reason."""


@dataclass(frozen=True, slots=True)
class Governed:
    """Which columns carry the policy attributes of a row; a constant where the table needs no column.

    `by` is "own", "parent", "issuer" or "none"; for "none" the row belongs to no region and `manage` is the ministry.
    """

    by: str
    manage: str = ""
    site: str = ""
    owner_dept: str = ""
    holder_uscc: str = ""
    holder_person: str = ""
    case_no: str = ""
    sens: str = ""

    def column(self, attr: str) -> str | None:
        """The column behind "@manage" and the like, or `None` where the attribute is constant (absent)."""
        name = attr.removeprefix("@")
        if name[-1] in "24":
            base = getattr(self, name[:-1])
            return f"{base}_p{name[-1]}" if base else None
        return getattr(self, name) or None

    def constant(self, attr: str) -> str | int:
        """What an attribute without a column is for every row."""
        if attr == "@sens":
            return 0
        if attr.startswith("@manage"):
            return "000000"[: int(attr[-1])] if attr[-1] in "24" else "000000"
        return "-"


NOT_GOVERNED = Governed(by="none")


@dataclass(frozen=True, slots=True)
class Member:
    """A class-body entry before its name and annotation are known."""

    make: Callable[[str, str], Attribute | Relation | Remote]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a decorated class said; `schema.registry` resolves it."""

    cls: type
    kind: str
    title: str
    members: tuple[Attribute | Relation | Remote, ...]
    table: str = ""
    key: str = ""
    key_sharing: Sharing | None = None
    plural: str = ""
    system: str = ""
    owner: str = ""
    governed: Governed = field(default_factory=lambda: NOT_GOVERNED)


def attribute(
    title: str,
    sharing: Sharing | None = None,
    *,
    column: str = "",
    mask: Mask = Mask.NOTHING,
    standard: str = "",
    unit: str = "",
    cost: int = 0,
    filterable: bool = False,
    sortable: bool = False,
    always: bool = False,
    columns: Mapping[str, str] | None = None,
    beside: str = "",
) -> Any:
    """Declare an attribute: Chinese term, proposed class, and what clients may do with it.

    Raises `TypeError` for a sortable personal or restricted attribute, whose order would tell its value.
    """
    if sortable and sharing in (PERSONAL, RESTRICTED):
        raise TypeError(f"{title}: an attribute of class {sharing} is never sortable")

    def make(name: str, annotation: str) -> Attribute:
        return Attribute(
            name, annotation, title, sharing, column or name, mask, standard, unit, cost, filterable, sortable, always,
            columns, beside,
        )  # fmt: skip

    return Member(make)


def one(title: str, *, by: str, cost: int = 1) -> Any:
    """Declare a to-one relation: `by` is the local attribute with the other's key."""
    return Member(lambda name, annotation: Relation(name, annotation, title, by, cost=cost))


def many(title: str, *, by: str, order: tuple[str, ...], covering: tuple[str, ...] = (), cost: int = 1) -> Any:
    """Declare a to-many relation: `by` is the attribute of the other with this one's key."""
    return Member(lambda name, annotation: Relation(name, annotation, title, by, order, covering, cost))


def remote(
    title: str,
    sharing: Sharing,
    *,
    by: str,
    cost: int = 10,
    order: tuple[str, ...] = (),
    across: bool = False,
    officer: bool = False,
) -> Any:
    """Declare a value that a source answers per record, asked by the local attribute `by`.

    A list has an `order`; one `across` sources is merged by it.
    """
    return Member(lambda name, annotation: Remote(name, annotation, title, sharing, by, cost, order, across, officer))


@dataclass_transform(kw_only_default=True, field_specifiers=(attribute, one, many, remote))
def entity(
    title: str,
    *,
    key: str,
    table: str,
    plural: str,
    system: str,
    owner: str,
    governed: Governed,
    key_sharing: Sharing | None = None,
) -> Callable[[type[T]], type[T]]:
    """Declare an entity; `key_sharing` proposes the class of `Type.__row__` where it differs from the key's own."""

    def record(cls: type[T]) -> type[T]:
        declaration = Declaration(
            cls, "entity", title, _members(cls), table, key, key_sharing, plural, system, owner, governed
        )
        return _recorded(cls, declaration)

    return record


@dataclass_transform(kw_only_default=True, field_specifiers=(attribute, one))
def value(title: str) -> Callable[[type[T]], type[T]]:
    """Declare a value type: a group of attributes without a key, part of an entity or of a remote answer.

    That of a remote answer may lead to local entities by to-one relations.
    """

    def record(cls: type[T]) -> type[T]:
        return _recorded(cls, Declaration(cls, "value", title, _members(cls)))

    return record


def _recorded(cls: type[T], declaration: Declaration) -> type[T]:
    cls.__declaration__ = declaration  # type: ignore[attr-defined]
    return cls


def _members(cls: type) -> tuple[Attribute | Relation | Remote, ...]:
    annotations = inspect.get_annotations(cls)
    found = []
    for name, annotation in annotations.items():
        member = cls.__dict__.get(name)
        if not isinstance(member, Member):
            raise TypeError(f"{cls.__name__}.{name} is neither attribute, one, many nor remote")
        if not isinstance(annotation, str):
            raise TypeError(f"{cls.__module__} lacks `from __future__ import annotations`")
        found.append(member.make(name, annotation))
    return tuple(found)
