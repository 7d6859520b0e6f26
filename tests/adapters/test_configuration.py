"""`sources.toml`: a good file is read, and of a bad one every mistake is told, with its line and without secrets."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.configuration import (
    AttributeMapping,
    BreakerLimits,
    ClientSigner,
    Configuration,
    FrontSource,
    RestSource,
    SubgraphSource,
)
from adapters.configured import ConfigurationRefused, load_configuration, parse_configuration
from schema.registry import load_registry

REGISTRY = load_registry()
GOOD = """\
# Three kinds of sources, by which the mistakes below are made.
[source.hubei]
kind = "rest"
title = "湖北省"
covers = ["420000"]
address = "http://127.0.0.1:8080"
networks = ["127.0.0.0/8"]
charset = "gbk"
breaker = { failures = 3, open_s = 1 }
signer = { family = "x-client", client_id = "env:HB_ID", secret = "file:/run/secrets/hb" }

[source.hubei.service."Project.siteStatus"]
path = "/xmjd"
key = "xmbm"
as_of = { from = "gxsj", instants = ["%Y-%m-%d %H:%M:%S"] }
valid = { from = "yx", is = ["1"] }
body = { keys = "{keys}", fields = "{fields}" }
rows = "data.rows"

[source.hubei.service."Project.siteStatus".fields]
state = { from = "xmzt", codes = { "在建" = "2", "07" = "4" } }
stop_work = { from = "tg", yes = ["是"], no = ["否"] }
reported_at = { from = "sbsj", instants = ["epoch_ms", "%Y%m%d%H%M%S"] }
name = { from = "xm.mc", brackets = "（）" }

[source.hubei.service."Enterprise.liveInspections"]
path = "/jc"
key = "dm"
keys_per_call = 1
ordinary = true
query = { dm = "{key}", ye = "{page}", hou = "{after.inspected_on}" }
last_page = "zys"

[source.hubei.service."Enterprise.liveInspections".fields]
inspected_on = { from = "rq", dates = ["%Y%m%d"] }
inspection_no = { from = "bh" }
inspectors = { from = "ry", split = "、" }

[source.guangdong]
kind = "subgraph"
title = "广东省"
covers = ["440100", "440300"]
address = "https://gd.example"
networks = ["10.1.0.0/16"]

[source.guangdong.service."Project.siteStatus"]
type = "GongCheng"
at = "xianChang.zuiXin"
key = "bianMa"
fields.total_area = { from = "mianJi", times = "0.0001" }

[source.jinan]
kind = "front"
title = "济南市"
covers = ["370100"]
address = "postgresql://127.0.0.1:5433/front"
networks = ["127.0.0.1/32"]
user = "env:JN_USER"
password = "env:JN_PASSWORD"

[source.jinan.service."Project.siteStatus"]
table = "370100_SPGL_XMJGXXB"
key = "xmdm"
region = "xzqhdm"
receipts = true
fields = { name = { from = "xmmc" }, workers_on_site = { from = "rs" } }
"""


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigurationRefused) as caught:
        parse_configuration(text, REGISTRY)
    assert str(caught.value) == "\n".join(caught.value.complaints)
    return list(caught.value.complaints)


def test_a_good_file_becomes_structures():
    """Kinds by tag, defaults, and every table where it belongs."""
    configuration = parse_configuration(GOOD, REGISTRY)
    hubei, guangdong, jinan = (configuration.source[name] for name in ("hubei", "guangdong", "jinan"))
    assert isinstance(hubei, RestSource)
    assert isinstance(hubei.signer, ClientSigner)
    assert (hubei.charset, hubei.breaker, hubei.deadline_ms) == ("gbk", BreakerLimits(failures=3, open_s=1.0), 800)
    status = hubei.service["Project.siteStatus"]
    assert status.as_of == AttributeMapping(source="gxsj", instants=("%Y-%m-%d %H:%M:%S",))
    assert status.valid is not None
    assert (status.valid.path, status.valid.values) == ("yx", ("1",))
    assert status.fields["state"].codes == {"在建": "2", "07": "4"}
    assert (status.body, status.rows) == ({"keys": "{keys}", "fields": "{fields}"}, "data.rows")
    assert isinstance(guangdong, SubgraphSource)
    assert guangdong.service["Project.siteStatus"].fields["total_area"].times == "0.0001"
    assert isinstance(jinan, FrontSource)
    assert jinan.service["Project.siteStatus"].table == "370100_SPGL_XMJGXXB"


def test_no_source_at_all_is_a_configuration():
    """A ministry without its provinces."""
    assert parse_configuration("[source]\n", REGISTRY) == Configuration(source={})


SERVICE = 'source.hubei.service."Project.siteStatus"'
SITE, LISTED, SUBGRAPH, FRONT = (
    SERVICE,
    'source.hubei.service."Enterprise.liveInspections"',
    'source.guangdong.service."Project.siteStatus"',
    'source.jinan.service."Project.siteStatus"',
)
MISTAKES = [
    # what is written, instead of what, the complaint
    ('charset = "gbk"', 'charset = "latin1"', 'source.hubei.charset: no such choice, one of "utf-8", "gb18030"'),
    ('charset = "gbk"', 'chraset = "gbk"', "source.hubei.chraset: unknown key, perhaps charset is meant"),
    ('charset = "gbk"', "whatever = 1", "source.hubei.whatever: unknown key, one of address, attempts, "),
    ('charset = "gbk"', "deadline_ms = 5", "source.hubei.deadline_ms: this value does not fit, a number from 10 to"),
    ('charset = "gbk"', 'deadline_ms = "800"', "source.hubei.deadline_ms: a text is given, a number from 10 to 60,000"),
    ('charset = "gbk"', "deadline_ms = 1979-05-27", "source.hubei.deadline_ms: a date or time is given, "),
    ('charset = "gbk"', 'zone = "+8"', "source.hubei.zone: this value does not fit, an offset such as +08:00"),
    ('charset = "gbk"', "plain_http = 1", "source.hubei.plain_http: a whole number is given, true or false is"),
    ('charset = "gbk"', 'ca = "ca.pem"', "source.hubei.ca: this value does not fit, an absolute path is expected"),
    ("failures = 3", "failure = 3", "source.hubei.breaker.failure: unknown key, perhaps failures is meant"),
    ("open_s = 1 ", "open_s = nan ", "source.hubei.breaker.open_s: this value does not fit, a number from 0.01"),
    ("{ failures = 3, open_s = 1 }", "3", "source.hubei.breaker: a whole number is given, a table is expected"),
    ('kind = "rest"', 'kind = "soap"', "source.hubei.kind: no such name, one of rest, subgraph, front is expected"),
    ('kind = "rest"', "", 'source.hubei: the key "kind" is missing, one of rest, subgraph, front is expected'),
    ('"x-client"', '"sm2"', "source.hubei.signer.family: no such name, one of gateway, irs, x-client, none"),
    ('title = "湖北省"\n', "", 'source.hubei: the key "title" is missing'),
    ('"127.0.0.0/8"', '"127.0.0.1/8"', "source.hubei.networks[0]: not a network, CIDR without host bits"),
    ('"127.0.0.0/8"', '"10.0.0.0/8", "0.0.0.0/0"', "source.hubei.networks[1]: every address there is"),
    ('"127.0.0.0/8"', '"10.0.0.0/8"', "source.hubei.address: http outside loopback, https or plain_http"),
    ('networks = ["127.0.0.0/8"]', "networks = []", "source.hubei.networks: empty, a list is expected"),
    ("http://127.0.0.1:8080", "http://u:pw@127.0.0.1", "source.hubei.address: not an address of this kind, https://"),
    ("http://127.0.0.1:8080", "https://10.9.9.9", "source.hubei.address: outside of networks"),
    ("http://127.0.0.1:8080", "http://127.0.0.1:99999", "source.hubei.address: not an address of this kind"),
    ("http://127.0.0.1:8080", "http://127.0.0.1/x?a=1", "source.hubei.address: not an address of this kind"),
    ("https://gd.example", "postgresql://a/b", "source.guangdong.address: not an address of this kind"),
    ("127.0.0.1:5433/front", "127.0.0.1:5433", "source.jinan.address: not an address of this kind, postgresql://"),
    ('["420000"]', '["421999"]', "source.hubei.covers[0]: no node of the supervision tree"),
    ('["420000"]', '["999999"]', "source.hubei.covers[0]: no node of the supervision tree"),
    ('["420000"]', '["420000", "420100"]', "source.hubei.covers[1]: 420100 and 420000 overlap"),
    ('["420000"]', '["420100", "000000"]', "source.hubei.covers[1]: 000000 and 420100 overlap"),
    ('["420000"]', '["420000", 5]', "source.hubei.covers[1]: a whole number is given, a text is expected"),
    ('["370100"]', '["440300"]', "source.jinan.covers[0]: source guangdong covers 440300 for Project.siteStatus too"),
    ("source.jinan", "source.Jinan", "source.Jinan: not a source's name"),
    ('hubei.service."Project.siteStatus"', 'hubei.service."Project.siteStatos"', "unknown service, perhaps Project.s"),
    ('hubei.service."Project.siteStatus"', 'hubei.service."Project.name"', "unknown service, "),
    ("reported_at =", "reportedAt =", f"{SITE}.fields.reportedAt: unknown attribute of SiteStatus, perhaps"),
    ("reported_at =", "provenance =", f"{SITE}.fields.provenance: unknown attribute of SiteStatus"),
    ("inspectors =", "project =", f"{LISTED}.fields.project: unknown attribute of LiveInspection"),
    ('"07" = "4"', '"07" = "9"', f'{SITE}.fields.state.codes.07: no code of ProjectState, one of 1, 2, 3, 4, 5'),
    ('"07" = "4"', '"无" = "4"', f'{SITE}.fields.state.codes."无": always read as missing'),
    ('"07" = "4"', '"07" = 4', f"{SITE}.fields.state.codes.07: a whole number is given, a text is expected"),
    ('codes = { "在建" = "2", "07" = "4" }', "codes = {}", f"{SITE}.fields.state.codes: empty, local codes with"),
    ('codes = { "在建"', 'times = "2", codes = { "在建"', f"{SITE}.fields.state.times: no conversion to Project"),
    ('dates = ["%Y%m%d"]', 'instants = ["epoch_s"]', "inspected_on.instants: no conversion to Date, dates is expected"),
    ('dates = ["%Y%m%d"]', 'dates = ["%Y%m"]', f"{LISTED}.fields.inspected_on.dates[0]: no whole date"),
    ('dates = ["%Y%m%d"]', 'dates = ["%Y%m%d", "%d %b %Y"]', f"{LISTED}.fields.inspected_on.dates[1]: %b is not one"),
    ('dates = ["%Y%m%d"]', 'dates = ["%Y%m%d%"]', f"{LISTED}.fields.inspected_on.dates[0]: % is not one"),
    ('"%Y%m%d%H%M%S"', '"%Y%m%d%H%M%S%S"', f"{SITE}.fields.reported_at.instants[1]: %S is not one"),
    ('instants = ["%Y-%m-%d %H:%M:%S"]', 'dates = ["%Y%m%d"]', f"{SITE}.as_of.dates: no conversion of an instant"),
    ('no = ["否"]', 'no = ["否", " 是"]', f"{SITE}.fields.stop_work.no: a word is in yes too"),
    (', no = ["否"]', "", f"{SITE}.fields.stop_work: yes or no is missing"),
    ('no = ["否"]', 'no = ["-"]', f"{SITE}.fields.stop_work: a word is always read as missing"),
    ('brackets = "（）"', 'brackets = "<>"', f"{SITE}.fields.name.brackets: no such choice"),
    ('brackets = "（）"', 'split = ","', f"{SITE}.fields.name.split: no conversion to String, brackets is expected"),
    ('times = "0.0001"', 'times = "-1"', f"{SUBGRAPH}.fields.total_area.times: not a factor"),
    ('times = "0.0001"', 'times = "万"', f"{SUBGRAPH}.fields.total_area.times: not a factor"),
    ('inspection_no = { from = "bh" }\n', "", f"{LISTED}.fields: lacks inspection_no, the list is ordered by it"),
    ('from = "xm.mc"', 'from = "xm..mc"', f"{SITE}.fields.name.from: this value does not fit, names with single dots"),
    ('from = "xmmc"', 'from = "xm.mc"', f"{FRONT}.fields.name.from: this value does not fit, a column's name"),
    ('from = "xmmc"', 'from = "项目名称"', f"{FRONT}.fields.name.from: this value does not fit, a column's name"),
    ('from = "mianJi"', 'from = "mian-ji"', f"{SUBGRAPH}.fields.total_area.from: this value does not fit, GraphQL"),
    ('key = "bianMa"', 'key = "xm.bianMa"', f"{SUBGRAPH}.key: a path, the single field"),
    ('at = "xianChang.zuiXin"', 'at = "xianChang{a}"', f"{SUBGRAPH}.at: this value does not fit, GraphQL names"),
    ("370100_SPGL_XMJGXXB", '370100\\"; drop', f"{FRONT}.table: this value does not fit, a name of 1 to 63"),
    ("370100_SPGL_XMJGXXB", "x" * 64, f"{FRONT}.table: this value does not fit, a name of 1 to 63"),
    ("{keys}", "{kees}", f"{SITE}.body: unknown placeholder {{kees}}"),
    ('body = { keys = "{keys}", fields = "{fields}" }', "", f"{SITE}: no key is asked for"),
    ("{keys}", "{key}", f"{SITE}: {{key}} is a single one, keys_per_call = 1 is expected"),
    ("{fields}", "{officer.name}", f"{SITE}: the officer is used, a service bound to the officer is expected"),
    ("{after.inspected_on}", "{after.summary}", f"{LISTED}: {{after.summary}} is used, {{after.inspected_on}} or"),
    ('last_page = "zys"', "", f"{LISTED}: last_page and {{page}} go together"),
    ("ordinary = true\n", "", f"{LISTED}: no local record governs a list across sources"),
    ("ordinary = true", "ordinary = false", f"{LISTED}: no local record governs a list across sources"),
    ("keys_per_call = 1", "keys_per_call = 2", f"{LISTED}: a list across sources is read key by key"),
    ("{after.inspected_on}", "rq<={after.inspected_on}", f"{LISTED}.query: a boundary within a longer text"),
    ("{fields}", "{first}", f"{SITE}: {{first}} would be shared by several keys, keys_per_call = 1 is expected"),
    ("http://127.0.0.1:8080", "https://127.1", "source.hubei.address: an unusual spelling of an IP address"),
    ("http://127.0.0.1:8080", "https://2130706433", "source.hubei.address: an unusual spelling of an IP address"),
    ("http://127.0.0.1:8080", "https://0177.0.0.1", "source.hubei.address: an unusual spelling of an IP address"),
    ("http://127.0.0.1:8080", "https://0x7f.1.", "source.hubei.address: an unusual spelling of an IP address"),
    ("http://127.0.0.1:8080", "https://127.0.0.%31", "source.hubei.address: an unusual spelling of an IP address"),
    ("http://127.0.0.1:8080", "https://[fe80::1%25lo]", "source.hubei.address: an unusual spelling of an IP address"),
    ("127.0.0.1:5433", "127.1:5433", "source.jinan.address: an unusual spelling of an IP address"),
    ('path = "/jc"', 'path = "jc"', f"{LISTED}.path: this value does not fit, a path that begins with /"),
    ('path = "/jc"', 'path = "/jc"\nsid = "S1"', f"{LISTED}: has sid, which only a gateway signs"),
    ('path = "/jc"', 'path = "/jc"\nmethod = "DELETE"', f'{LISTED}.method: no such choice, one of "GET", "POST" is'),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "complaint"), MISTAKES, ids=lambda text: text[:40])
def test_every_mistake_has_its_line(right, wrong, complaint):
    """There the last name of the complaint's path is written."""
    assert right in GOOD
    bad = GOOD.replace(right, wrong)
    told = [text for text in refused(bad) if complaint in text]
    assert len(told) == 1
    line, path = re.match(r"sources\.toml:([0-9]+): (.*?): ", told[0]).groups()  # type: ignore[union-attr]
    last = re.findall(r'"[^"]+"|[\w-]+', re.sub(r"\[[0-9]+\]\Z", "", path))[-1]
    assert last.strip('"') in bad.splitlines()[int(line) - 1]


def test_one_source_answers_for_a_region_unless_all_are_asked():
    """A list across sources is merged from everybody who has it."""
    front = GOOD[GOOD.index("[source.jinan]") :]
    assert "jinan covers 370100" in refused(front + front.replace("jinan", "lixia"))[0]
    fields = 'fields = { inspection_no = { from = "bh" }, inspected_on = { from = "rq" } }'
    across = front[: front.index("fields =")].replace("Project.siteStatus", "Enterprise.liveInspections")
    across += f"ordinary = true\nkeys_per_call = 1\n{fields}\n"
    assert len(parse_configuration(across + across.replace("jinan", "lixia"), REGISTRY).source) == 2


def test_all_mistakes_are_told_at_once_by_line():
    """Of form and of meaning, in every source."""
    bad = GOOD.replace('"gbk"', '"latin1"').replace("failures = 3", "failures = 0").replace('"440100"', '"449999"')
    bad = bad.replace('times = "0.0001"', 'times = "x"').replace("[source.jinan]", "[source.jinan]\nx = 1")
    found = refused(bad)
    lines = [int(text.split(":")[1]) for text in found]
    assert lines == sorted(lines)
    for part in ("hubei.charset", "hubei.breaker.failures", "guangdong.covers[0]", "total_area.times", "jinan.x"):
        assert any(part in text for text in found), part


SECRET = "s3cr3t-Zx9"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"file:/run/secrets/hb"', f'"{SECRET}"'),
        ('"file:/run/secrets/hb"', f'"file:{SECRET}"'),
        ('"env:HB_ID"', f'"env:{SECRET}"'),
        ('"env:JN_PASSWORD"', f'"{SECRET}"'),
        ('"env:JN_USER"', f'["{SECRET}"]'),
        ('"env:JN_PASSWORD"', SECRET),
        ("http://127.0.0.1:8080", f"http://hb:{SECRET}@127.0.0.1:8080"),
        ("postgresql://127", f"postgresql://jn:{SECRET}@127"),
        ("postgresql://127", f"postgresql://jn:{SECRET}%[@127"),
        ("http://127.0.0.1:8080", f"http://127.0.0.1:{SECRET}"),
        ('family = "x-client"', f'family = "{SECRET}"'),
        ('secret = "file:/run/secrets/hb"', f'secret = "file:/x", app_secret = "{SECRET}"'),
    ],
)
def test_a_secret_in_the_file_is_refused_and_never_repeated(right, wrong):
    """Whoever reads the log of a start must not learn it."""
    assert right in GOOD
    assert SECRET not in "".join(refused(GOOD.replace(right, wrong)))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[source.hubei]\ntitle = \n", 2),
        ("[source]\n\n[source]\n", 3),
        ("x = 1\nx = 2\n", 2),
        ('x = 1\ny = """\n', 2),
        ("a = " + "9" * 5_000, 1),
        ("a = " + "[" * 5_000, 1),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line(text, line):
    """Also what exhausts the parser."""
    assert refused(text)[0].startswith(f"sources.toml:{line}: not TOML: ")


@pytest.mark.parametrize(
    "text", ["source = 5", "source = []", "[sources.hubei]", "source.hubei = 5", "[[source.hubei]]"]
)
def test_tables_are_tables(text):
    """Wherever one is expected."""
    assert refused(text)[0].startswith("sources.toml:1: source")


def test_files_are_read_and_refused_by_name(tmp_path):
    """Complaints begin with the file's name alone, and with the line of a byte that is not UTF-8."""
    path = tmp_path / "provinces.toml"
    with pytest.raises(ConfigurationRefused, match=r"^provinces\.toml: cannot be read, FileNotFoundError\Z"):
        load_configuration(path, REGISTRY)
    path.write_bytes(GOOD.encode("utf-8-sig").replace(b"\n", b"\r\n"))
    assert load_configuration(path, REGISTRY) == parse_configuration(GOOD, REGISTRY)
    path.write_bytes(GOOD.encode("gb18030"))
    with pytest.raises(ConfigurationRefused, match=r"^provinces\.toml:4: not UTF-8\Z"):
        load_configuration(path, REGISTRY)
    path.write_bytes(b'\r\n# x\r\n[source.hubei]\r\nkind = "x"\r\n')
    with pytest.raises(ConfigurationRefused, match=r"^provinces\.toml:4: source\.hubei\.kind: no such name"):
        load_configuration(path, REGISTRY)


ANY = st.recursive(
    st.sampled_from(["", "x", "env:A", "000000", "rest", "none", 1, -1, 0.5, True, "{key}", "%Y", "http://127.0.0.1"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["from", "a", "is"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.data())
def test_whatever_a_value_becomes_the_file_is_read_or_refused(data):
    """Never another exception, for any value in any place."""
    document = tomllib.loads(GOOD)
    place: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 9)) == 0:
            break
        place = place[key]
    place[key] = data.draw(ANY)
    text = "".join(f"{_toml(name)} = {_toml(value)}\n" for name, value in document.items())
    try:
        parse_configuration(text, REGISTRY)
    except ConfigurationRefused as error:
        complaints = error.complaints
    else:
        complaints = ()
    assert all(re.match(r"sources\.toml:1: source", complaint) for complaint in complaints)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
