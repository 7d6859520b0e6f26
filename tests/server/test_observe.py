"""The log and the metrics: a closed set of events, and nothing of a request in them."""

from __future__ import annotations

import json
import logging

import pytest

from server.observe import Event, JsonFormatter, Metrics, digest, log, log_failure, outline


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "zlaq")
    return lambda: [json.loads(JsonFormatter().format(record)) for record in caplog.records]


def test_an_event_is_a_line_of_its_facts(lines):
    log(Event.REQUEST, request="r", subject=digest("u1"), document="d", status=200, code="OK", ms=1.5)
    (line,) = lines()
    assert {name: line[name] for name in ("level", "event", "request", "status", "ms")} == {
        "level": "INFO", "event": "request", "request": "r", "status": 200, "ms": 1.5,
    }  # fmt: skip
    assert "u1" not in str(line)


@pytest.mark.parametrize("facts", [{}, {"exception": "a", "query": "{a}"}, {"query": "{a}"}])
def test_facts_are_exactly_those_of_the_event(facts):
    with pytest.raises(TypeError):
        log(Event.AUDIT_FAILED, **facts)


def test_every_event_names_its_facts_once():
    assert len(Event) == len(Event.__members__)
    for event in Event:
        assert len(set(event.facts)) == len(event.facts)


def fails() -> None:
    try:
        int("secret-1")
    except ValueError as error:
        raise KeyError("secret-2") from error


def test_a_failure_is_logged_without_its_text(lines):
    with pytest.raises(KeyError) as raised:
        fails()
    log_failure("r", "ZQ500", raised.value)
    (line,) = lines()
    assert "secret" not in json.dumps(line)
    assert line["exception"].startswith("KeyError at ")
    assert "; from ValueError at " in line["exception"]


def test_other_libraries_lines_are_marked_and_their_exceptions_outlined():
    with pytest.raises(KeyError) as raised:
        fails()
    exception = (KeyError, raised.value, None)
    record = logging.LogRecord("other", logging.ERROR, "f", 1, "text", (), exception)
    line = json.loads(JsonFormatter().format(record))
    assert (line["event"], line["logger"], line["exception"]) == ("library", "other", outline(raised.value))
    assert "secret" not in json.dumps(line)


def test_metrics():
    metrics = Metrics()
    metrics.answered(200, "OK", 0.01)
    metrics.answered(400, "ZQ111", 0.01)
    metrics.fetched("hubei", "Project.siteStatus", "SOURCE_TIMEOUT", 0.8)
    metrics.policy.info({"revision": "abc"})
    text = metrics.exposition().decode()
    for line in (
        'zlaq_requests_total{code="ZQ111",status="400"} 1.0',
        'zlaq_source_fetches_total{outcome="SOURCE_TIMEOUT",source="hubei"} 1.0',
        'zlaq_source_seconds_count{source="hubei"} 1.0',
        'zlaq_policy_info{revision="abc"} 1.0',
        "zlaq_request_seconds_count 2.0",
        "zlaq_requests_in_flight 0.0",
    ):
        assert line in text
    assert Metrics().exposition() != metrics.exposition()
