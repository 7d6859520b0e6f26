"""Predicates as SQL conditions: parameters for every value, a column for every attribute, exactly two-valued."""

from __future__ import annotations

from collections.abc import Callable

from adapters.postgres.formats import PARAMETER_TYPES, literal
from schema.declare import Relation
from schema.predicate import Always, And, Eq, In, Never, Not, Or, Predicate, Range, Ref, Some
from schema.registry import Entity, Registry

_CONVERSIONS = {"successor": "text", "joined": "text", "cursor by key": "boolean", "id": "text"}


class Parameters:
    """The parameters of one statement in order of first use, each cast to its type."""

    def __init__(self, name: Callable[[int], str]) -> None:
        self._name = name
        self.refs: list[Ref] = []

    def use(self, ref: Ref) -> str:
        """The placeholder of a reference; equal references share one."""
        if ref not in self.refs:
            self.refs.append(ref)
        return self._name(self.refs.index(ref))


class BatchParameters(Parameters):
    """Parameters of a statement that many requests share: each is a column of the batch, so none can be an array.

    A subject's list of codes travels as one text, comma between; a client's list has no such form (`has_lists`).
    """

    def __init__(self) -> None:
        super().__init__(lambda i: f"b.p{i}")

    def use(self, ref: Ref) -> str:
        if ref.is_list and ref.source == "subject" and ref.type == "text":
            return f"string_to_array({super().use(Ref(ref.source, ref.path, 'joined'))}, ',')"
        return super().use(ref)

    @property
    def has_lists(self) -> bool:
        """Whether an array is left, which cannot be unnested by element."""
        return any(ref.is_list for ref in self.refs)


def parameter_type(ref: Ref) -> str:
    """The PostgreSQL type of a parameter."""
    base = ref.type
    if base.startswith("cursor ") and ":" in base:
        base = base.split(":")[1]
    elif base.startswith(("codes:", "prefix:")):
        base = "text"
    sql = PARAMETER_TYPES[_CONVERSIONS.get(base, base)]
    return f"{sql}[]" if ref.is_list else sql


class Conditions:
    """Renders predicates of one statement."""

    def __init__(self, registry: Registry, parameters: Parameters) -> None:
        self.registry = registry
        self.parameters = parameters
        self._aliases = 0

    def sql(self, predicate: Predicate, entity: Entity, alias: str, *, negated: bool = False) -> str:
        """A condition over the entity's table under that alias; `negated` asks for an operand that is never NULL."""
        match predicate:
            case Always():
                return "true"
            case Never():
                return "false"
            case And(operands):
                return "(" + " and ".join(self.sql(p, entity, alias, negated=negated) for p in operands) + ")"
            case Or(operands):
                return "(" + " or ".join(self.sql(p, entity, alias, negated=negated) for p in operands) + ")"
            case Not(Eq(attr, None)):
                return f"{self.column(entity, attr, alias)} is not null"
            case Not(operand):
                return f"not {self.sql(operand, entity, alias, negated=True)}"
            case Some(relation, where):
                return self._some(entity, relation, where, alias)
            case Eq(attr, None):
                return f"{self.column(entity, attr, alias)} is null"
            case Eq() | In() | Range():
                condition = self._atom(predicate, self.column(entity, predicate.attr, alias))
                return f"({condition} is true)" if negated and self._nullable(entity, predicate.attr) else condition

    def column(self, entity: Entity, attr: str, alias: str) -> str:
        """The column behind an attribute; a constant where the entity declares none for a policy attribute."""
        if attr.startswith("@"):
            column = entity.governed.column(attr)
            if column is None:
                value = entity.governed.constant(attr)
                return literal(value) if isinstance(value, str) else str(value)
            return f"{alias}.{column}"
        return f"{alias}.{entity.by_name[attr].attribute.column}"

    def _nullable(self, entity: Entity, attr: str) -> bool:
        return not attr.startswith("@") and not entity.by_name[attr].attribute.always

    def _atom(self, atom: Eq | In | Range, column: str) -> str:
        match atom:
            case Eq(_, Ref() as ref):
                return f"{column} = {self.parameters.use(ref)}"
            case In(_, (Ref() as ref,)):
                return f"{column} = any({self.parameters.use(ref)})"
            case Range(_, low, high, low_open, high_open):
                bounds = []
                if isinstance(low, Ref):
                    bounds.append(f"{column} {'>' if low_open else '>='} {self.parameters.use(low)}")
                if isinstance(high, Ref):
                    bounds.append(f"{column} {'<' if high_open else '<='} {self.parameters.use(high)}")
                return "(" + " and ".join(bounds) + ")"
            case _:
                raise TypeError(f"a plan's predicate carries a bare value: {type(atom).__name__}")

    def _some(self, entity: Entity, relation: str, where: Predicate, alias: str) -> str:
        field = entity.by_name[relation]
        target = self.registry.entity(field.type.name)
        self._aliases += 1
        inner = f"s{self._aliases}"
        condition = self.sql(where, target, inner)
        joined = join(entity, field.member, target, field.type.is_list, alias, inner)
        return f"exists (select from {target.table} {inner} where {joined} and {condition})"


def join(entity: Entity, relation: object, target: Entity, to_many: bool, alias: str, inner: str) -> str:
    """The join of a relation between two aliases."""
    if not isinstance(relation, Relation):
        raise TypeError("only relations join")
    if to_many:
        return f"{inner}.{target.by_name[relation.by].attribute.column} = {alias}.{entity.key.attribute.column}"
    return f"{inner}.{target.key.attribute.column} = {alias}.{entity.by_name[relation.by].attribute.column}"
