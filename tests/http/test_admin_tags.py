"""Entity tags: what changes one, and what If-Match and If-None-Match do with it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from test_routes import Bench

from house import DAY
from limen.http import conditions

SINGLE = [
    "/api/governance/customers/{id}",
    "/api/governance/teams/{id}",
    "/api/governance/virtual-keys/{id}",
    "/api/governance/model-configs/{id}",
    "/api/governance/routing-rules/{id}",
    "/api/governance/pricing-overrides/{id}",
    "/api/governance/providers/{name}",
    "/api/providers/{provider}",
    "/api/providers/{provider}/keys/{key_id}",
]
CHANGES = {
    "customers": {"name": "other"},
    "teams": {"config": {"x": 1}},
    "virtual-keys": {"description": "d"},
    "model-configs": {"model_name": "other"},
    "routing-rules": {"enabled": False},
    "pricing-overrides": {"free": True, "patch": {}},
    "providers": {"rate_limit": {"token_max_limit": 1, "token_reset_duration": "1h"}},
    "keys": {"value": "another secret"},
}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def word(template: str) -> str:
    return next(found for found in ("keys", *CHANGES) if f"/{found}/" in template)


def shown(reply: Any) -> Any:
    body = reply.body
    return next(iter(body.values())) if len(body) == 1 else body


@pytest.mark.parametrize("template", SINGLE)
def test_what_get_answers_is_put_back_and_changes_nothing(bench: Bench, template: str) -> None:
    path = bench.path(template)
    before, first = bench.picture(), bench.ask("GET", path)
    for offset in (1_000, 2 * DAY):
        bench.at(offset)
        reply = bench.ask("GET", path)
        again = bench.call("PUT", path, [_inner(reply.content)], {"if-match": reply.headers["etag"]})
        assert again.status == 200, again.content
        assert reply.headers["etag"] == again.headers["etag"] == first.headers["etag"]
    bench.at(0)
    assert bench.picture() == before
    assert bench.ask("GET", path).content == first.content


def _inner(content: bytes) -> bytes:
    """`{"customer": {...}}` as it stands within; a flat answer whole."""
    _, _, rest = content.partition(b":")
    return rest[:-1] if rest.startswith(b"{") else content


@pytest.mark.parametrize("template", [path for path in SINGLE if path != "/api/providers/{provider}"])
def test_a_tag_changes_with_the_configuration(bench: Bench, template: str) -> None:
    path = bench.path(template)
    before = bench.ask("GET", path)
    assert before.headers["etag"].startswith('"')
    changed = bench.ask("PUT", path, CHANGES[word(template)])
    after = bench.ask("GET", path)
    assert changed.status == 200
    assert before.headers["etag"] != changed.headers["etag"] == after.headers["etag"]


def test_a_tag_stays_whatever_is_used_reset_or_credited(bench: Bench) -> None:
    path = bench.path("/api/governance/virtual-keys/{id}")
    tag = bench.ask("GET", path).headers["etag"]
    bench.admit(bench.virtual_key, 5, cost_usd=1).settle(tokens=5, cost_usd=1)
    assert bench.ask("GET", path).body["virtual_key"]["budget"]["current_usage"] == 1
    for step in ("/budgets/{id}/reset", "/rate-limits/{id}/reset"):
        assert bench.ask("POST", bench.path("/api/governance" + step), {"reason": "r"}).status == 200
    assert bench.ask("GET", path).headers["etag"] == tag


ROWS: list[tuple[str, str, bool]] = [
    # If-Match, with T for the tag; whether it is of the entity as it is
    ("the tag", "T", True),
    ("any", "*", True),
    ("any, with spaces", " * ", True),
    ("one of a list", '"other", T', True),
    ("a list with empty members", ',, "other" ,T,', True),
    ("another", '"other"', False),
    ("a weak one", "W/T", False),
    ("weak ones and others", 'W/T, "other"', False),
    ("an empty tag", '""', False),
]


@pytest.mark.parametrize(("header", "is_it"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_an_edit_is_refused_where_it_expects_something_else(
    bench: Bench, method: str, header: str, is_it: bool
) -> None:
    path = bench.path("/api/governance/virtual-keys/{id}") + ("/rotate" if method == "POST" else "")
    tag = bench.engine.virtual_keys.tag(bench.virtual_key.id)
    before = bench.picture()
    reply = bench.ask(method, path, {}, if_match=header.replace("T", tag))
    if is_it:
        assert reply.status == 200
    else:
        assert (reply.status, reply.code, reply.param) == (412, "precondition_failed", "if-match")
        assert bench.picture() == before


@pytest.mark.parametrize("header", ["x", "T", "w/T", '"a" "b"', '"a', "*, T", '"a\x01"', "T;q=1"])
@pytest.mark.parametrize("name", ["if_match", "if_none_match"])
def test_a_condition_that_is_not_formed_as_one_is_refused(bench: Bench, name: str, header: str) -> None:
    path = bench.path("/api/governance/virtual-keys/{id}")
    tag = "no-quotes" if header == "T" else bench.engine.virtual_keys.tag(bench.virtual_key.id)
    before = bench.picture()
    for method in ("GET",) if name == "if_none_match" else ("GET", "PUT", "DELETE"):
        reply = bench.ask(method, path, {"name": "x"}, **{name: header.replace("T", tag)})
        assert (reply.status, reply.param) == (400, name.replace("_", "-"))
    assert bench.picture() == before


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("T", 304),
        ("W/T", 304),
        ("*", 304),
        ('"other", W/T', 304),
        ('"other"', 200),
        ('W/"other"', 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_reader_who_has_it_is_told_so(bench: Bench, method: str, header: str, status: int) -> None:
    tag = bench.engine.customers.tag(bench.customer.id)
    path = bench.path("/api/governance/customers/{id}")
    reply = bench.ask(method, path, if_none_match=header.replace("T", tag))
    assert (reply.status, reply.headers["etag"]) == (status, tag)
    if status == 304:
        assert reply.content == b""


def test_what_is_not_there_matches_nothing(bench: Bench) -> None:
    before = bench.picture()
    path = "/api/governance/providers/nobody"
    for header in ("*", '"x"'):
        assert bench.ask("PUT", path, {}, if_match=header).code == "precondition_failed"
        assert bench.ask("DELETE", path, if_match=header).code == "precondition_failed"
    assert bench.ask("GET", path, if_none_match="*").status == 404
    assert bench.picture() == before
    assert bench.ask("PUT", path, {}).headers["etag"] == bench.engine.providers.tag("nobody")


def test_lines_of_one_condition_are_one_list() -> None:
    lines = [(b"if-match", b'"a"'), (b"host", b"h"), (b"if-match", b'"b"')]
    condition = conditions.given(lines, b"if-match")
    assert condition is not None
    assert conditions.holds("if-match", condition, '"b"')
    assert conditions.given(lines, b"if-none-match") is None


def test_of_editors_who_all_expect_the_same_one_wins(bench: Bench) -> None:
    path = bench.path("/api/governance/customers/{id}")
    tag = bench.engine.customers.tag(bench.customer.id)
    statuses: list[int] = []
    gate = threading.Barrier(6)

    def edit(number: int) -> None:
        gate.wait()
        statuses.append(bench.ask("PUT", path, {"name": f"editor {number}"}, if_match=tag).status)

    threads = [threading.Thread(target=edit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, *[412] * 5]


def test_a_change_over_http_waits_for_an_edit_that_waits_for_the_disk_and_both_end(bench: Bench) -> None:
    """Whoever held the readers' lock while it waited for its turn would keep the other edit from its end."""
    path = bench.path("/api/governance/customers/{id}")
    keeper, on_disk, go = bench.engine._book.keeper, threading.Event(), threading.Event()
    commit = keeper.commit

    def slow(*change: Any) -> None:
        on_disk.set()
        go.wait(30)
        commit(*change)

    bench.engine._book.keeper.commit = slow
    embedded = threading.Thread(target=bench.engine.customers.create, args=({"name": "x"},), daemon=True)
    embedded.start()
    assert on_disk.wait(30)
    replies: list[Any] = []
    served = threading.Thread(
        target=lambda: replies.append(bench.ask("PUT", path, {"name": "other"})), daemon=True
    )
    served.start()
    # Long enough to wait for its turn: whatever it holds then, it holds until the edit has ended.
    served.join(0.2)
    go.set()
    for thread in (embedded, served):
        thread.join(10)
        assert not thread.is_alive()
    assert replies[0].status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_nobody_edits_between_the_look_at_a_tag_and_the_change(bench: Bench, method: str) -> None:
    customers, turn = bench.engine.customers, bench.engine._book.editing
    look, is_free = customers.tag, []

    def probe() -> None:
        is_free.append(turn.acquire(blocking=False))
        if is_free[-1]:
            turn.release()

    def watched(id: str) -> str:
        tag = look(id)
        other = threading.Thread(target=probe)
        other.start()
        other.join()
        return tag

    tag = look(bench.customer.id)
    customers.tag = watched
    path = bench.path("/api/governance/customers/{id}")
    assert bench.ask(method, path, {"name": "x"}, if_match=tag).status == 200
    assert is_free
    assert not any(is_free)
