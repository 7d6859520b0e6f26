"""The error catalogue: complete, documented, and silent about what the client did not send."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from graphql import GraphQLError

from adapters.base import SourceTimeout
from adapters.postgres.database import StatementTimeout
from resolvers.errors import InvalidDocument, SyntaxRefused
from schema.identifiers import InvalidIdentifier
from server.catalogue import CATALOGUE
from server.errors import (
    ABOVE,
    NAMED,
    NAMES,
    NEVER_CROSS,
    entry_for,
    error_json,
    errors_of,
    qualified,
    render,
    without_suggestions,
)
from server.pipeline import NoPolicy
from server.service import AuditUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
PACKAGES = ("schema", "policy", "adapters", "resolvers", "server")


def modules() -> Iterator[ModuleType]:
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, name + "."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def our_exceptions() -> dict[str, type[BaseException]]:
    return {
        qualified(cls): cls
        for module in modules()
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, BaseException) and cls.__module__.split(".")[0] in PACKAGES
    }


def mapped(cls: type[BaseException]) -> bool:
    if issubclass(cls, NAMED):
        return cls.name in CATALOGUE
    return qualified(cls) in ABOVE or any(base in NAMES for base in cls.__mro__)


def test_every_exception_of_ours_is_mapped_or_said_never_to_cross():
    found = our_exceptions()
    unmapped = sorted(name for name, cls in found.items() if not mapped(cls) and name not in NEVER_CROSS)
    assert not unmapped, "map it in server.errors.NAMES, or say in NEVER_CROSS why no request meets it"
    assert not sorted((NEVER_CROSS.keys() | ABOVE.keys()) - found.keys()), "no longer there"
    assert not sorted(name for name in NEVER_CROSS if name in found and mapped(found[name])), "both"


def test_every_name_that_is_mapped_to_is_in_the_catalogue():
    assert {*NAMES.values(), *ABOVE.values()} <= CATALOGUE.keys()


def test_entries_are_complete_and_their_codes_say_the_origin():
    for name, entry in CATALOGUE.items():
        assert re.fullmatch("ZQ[1-5][0-9]{2}", entry.code)
        assert re.fullmatch("[A-Z]+(_[A-Z]+)*", name)
        assert entry.status == 200 if entry.code[2] == "4" else 400 <= entry.status <= 504
        assert entry.message.isascii()
        assert re.search("[\u4e00-\u9fff]", entry.message_zh)
        assert entry.hint.endswith(".")
        # A client gains nothing from repeating a request that was refused for what it is.
        assert not (entry.retryable and entry.status in range(400, 500))
    assert list(CATALOGUE.values()) == sorted(CATALOGUE.values(), key=lambda entry: entry.code)


def test_the_documentation_is_rendered_from_the_catalogue():
    assert ROOT.joinpath("docs/errors.md").read_text(encoding="utf-8") == render()


def test_the_form_of_an_error():
    assert error_json(CATALOGUE["SOURCE_TIMEOUT"], "r-1", path=["projects", 0, "x"]) == {
        "message": "A source did not answer in time",
        "path": ["projects", 0, "x"],
        "extensions": {
            "code": "ZQ401",
            "name": "SOURCE_TIMEOUT",
            "messageZh": "数据来源响应超时",
            "hint": "Ask again later; the rest of the answer is complete.",
            "retryable": True,
            "requestId": "r-1",
        },
    }


def test_what_is_not_known_is_internal_and_says_nothing():
    class Leaky(Exception):
        name = "SYNTAX_ERROR"

    for exception in (Leaky("secret"), KeyError("secret"), AssertionError("secret"), ImportError("x", name="secret")):
        (error,) = errors_of(exception, "r")
        assert error["extensions"]["code"] == "ZQ500"
        assert "secret" not in str(error)


def test_a_detail_goes_to_clients_only():
    assert "detail" in error_json(CATALOGUE["BAD_VARIABLE"], "r", detail="detail")["message"]
    assert "detail" not in str(error_json(CATALOGUE["INTERNAL"], "r", detail="detail"))
    assert "detail" not in str(error_json(CATALOGUE["CLAIMS_REFUSED"], "r", detail="detail"))


def test_a_subclass_and_a_timeout():
    assert entry_for(SourceTimeout("s")).name == "SOURCE_TIMEOUT"
    assert entry_for(StatementTimeout("x")).name == "STATEMENT_TIMEOUT"
    assert entry_for(NoPolicy()).name == "NO_POLICY"
    assert entry_for(AuditUnavailable()).name == "AUDIT_UNAVAILABLE"
    assert entry_for(TimeoutError()).name == "DEADLINE_EXCEEDED"
    assert entry_for(InvalidIdentifier("uscc", "check")).name == "BAD_ARGUMENT"


def test_every_problem_of_a_document_is_told_where_it_is():
    told = errors_of(InvalidDocument([("one", [(1, 2)]), ("two. Did you mean 'idNo'?", [(3, 4), (5, 6)])]), "r")
    assert [error["message"] for error in told] == [
        "The document does not fit the schema: one",
        "The document does not fit the schema: two.",
    ]
    assert told[1]["locations"] == [{"line": 3, "column": 4}, {"line": 5, "column": 6}]
    (error,) = errors_of(SyntaxRefused("x", [(7, 8)]), "r")
    assert (error["extensions"]["name"], error["locations"]) == ("SYNTAX_ERROR", [{"line": 7, "column": 8}])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Cannot query field 'a' on type 'T'. Did you mean 'b' or 'c'?", "Cannot query field 'a' on type 'T'."),
        ("Unknown type 'X'. Did you mean 'Y'?\nDid you mean 'Z'?", "Unknown type 'X'."),
        (
            "Value 'A' does not exist in 'E' enum. Did you mean the enum value 'B'?",
            "Value 'A' does not exist in 'E' enum.",
        ),
        ("Unknown argument 'a'.", "Unknown argument 'a'."),
        ("x" * 1000, "x" * 300),
    ],
)
def test_texts_never_suggest_names(text, left):
    assert without_suggestions(text) == left
    assert errors_of(GraphQLError(text), "r")[0]["message"] == f"The document does not fit the schema: {left}"
