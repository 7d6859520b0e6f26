"""One process that plays many equal sources, each a province, to measure how an operation fans out to them."""

from __future__ import annotations

from pathlib import Path

from demo.counterparts.start import Counterparts, Task
from demo.counterparts.system import HOST
from demo.seed.words import PROVINCE_SIGNS

PROVINCES = tuple(PROVINCE_SIGNS)
"""The first two digits of all provinces."""
_SOURCE = """
[source.fan{province}]
kind = "rest"
title = "扇出{province}"
covers = ["{province}0000"]
address = "http://{host}:{port}"
networks = ["127.0.0.0/8"]
deadline_ms = {deadline_ms}
signer = {{ family = "none" }}

[source.fan{province}.service."Project.siteStatus"]
path = "/{province}/status"
body = {{ keys = "{{keys}}" }}
rows = "rows"
key = "no"
as_of = {{ from = "at" }}
fields.state = {{ from = "state" }}
fields.name = {{ from = "name" }}
fields.progress = {{ from = "progress" }}
fields.workers_on_site = {{ from = "workers" }}

[source.fan{province}.service."Enterprise.liveInspections"]
path = "/{province}/inspections"
body = {{ key = "{{key}}", first = "{{first}}", day = "{{after.inspected_on}}", no = "{{after.inspection_no}}" }}
rows = "rows"
key = "uscc"
keys_per_call = 1
ordinary = true
as_of = {{ from = "at" }}
fields.inspection_no = {{ from = "no" }}
fields.project_no = {{ from = "project" }}
fields.inspected_on = {{ from = "on" }}
fields.kind = {{ from = "kind" }}
fields.finding_count = {{ from = "findings" }}
"""


def fan(directory: Path, n: int, delay_s: float, *, deadline_ms: int = 800) -> Counterparts:
    """Start a process that plays `n` provinces (at most 32), each answering every key after a delay in seconds.

    Writes the `sources.toml` for them into the directory. Its one system is called "fan".
    """
    if not 1 <= n <= len(PROVINCES):
        raise ValueError(f"there are {len(PROVINCES)} provinces")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    running = Counterparts(
        directory, [Task("fan", "provinces", facts={"provinces": PROVINCES[:n], "delay_s": delay_s})]
    )
    port = running.systems["fan"].port
    texts = (
        _SOURCE.format(province=province, host=HOST, port=port, deadline_ms=deadline_ms) for province in PROVINCES[:n]
    )
    running.sources.write_text("".join(texts).lstrip(), encoding="utf-8")
    return running
