"""The guard against duplicate keys and depth, judged by the standard library's parser."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from limen.errors import InvalidError
from limen.http.json_guard import MAX_DEPTH, duplicates, lost_nothing, path_text, refuse_duplicates

# Few letters, so that keys collide; the rest is what a scanner could mistake for structure.
TEXTS = st.text(alphabet='ab":,{}[]\\/\n\té😀', max_size=4)
SPACES = st.text(alphabet=" \t\r\n", max_size=2)


@st.composite
def spelled(draw: Any, text: str) -> str:
    """A JSON string of `text`, each character plain or escaped as the draw goes."""
    parts = []
    for character in text:
        plain = json.dumps(character, ensure_ascii=False)[1:-1]
        escaped = "".join(f"\\u{unit:04x}" for unit in _utf16(character))
        parts.append(draw(st.sampled_from((plain, escaped))))
    return f'"{"".join(parts)}"'


def _utf16(character: str) -> list[int]:
    raw = character.encode("utf-16-be")
    return [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]


@st.composite
def documents(draw: Any, depth: int = 4) -> str:
    """JSON text with any spacing, in which keys may repeat."""
    kind = draw(st.integers(0, 3 if depth else 1))
    if kind == 0:
        return draw(st.sampled_from(("0", "-1.5e3", "true", "null", '""')))
    if kind == 1:
        return draw(spelled(draw(TEXTS)))
    inner = []
    for _ in range(draw(st.integers(0, 4))):
        value = draw(SPACES) + draw(documents(depth=depth - 1)) + draw(SPACES)
        if kind == 2:
            value = draw(SPACES) + draw(spelled(draw(TEXTS))) + draw(SPACES) + ":" + value
        inner.append(value)
    left, right = "{}" if kind == 2 else "[]"
    return left + (",".join(inner) or draw(SPACES)) + right


def repeated_keys(text: str) -> list[str]:
    """By the standard library: every key that an object repeats, inner objects first."""
    found: list[str] = []

    def hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found.append(key)
            seen.add(key)
        return dict(pairs)

    json.loads(text, object_pairs_hook=hook)
    return found


@given(documents())
def test_the_guard_finds_exactly_the_keys_that_a_parser_sees_twice(text: str) -> None:
    expected = repeated_keys(text)
    assert sorted(str(path[-1]) for path in duplicates(text.encode())) == sorted(expected)
    if expected:
        with pytest.raises(InvalidError):
            refuse_duplicates(text.encode())
    else:
        refuse_duplicates(text.encode())


@given(documents())
def test_counting_colons_never_passes_a_text_that_repeats_a_key(text: str) -> None:
    encoded = msgspec.json.encode(json.loads(text))
    if lost_nothing(text.encode(), encoded):
        assert repeated_keys(text) == []
    elif "\\" not in text:
        assert repeated_keys(text) != []


@pytest.mark.parametrize("spaces", ["", " "])
def test_counting_colons_passes_what_clients_write(spaces: str) -> None:
    body = {"virtual_key": "k", "model": "ft:gpt-4o:acme", "headers": {"x:y": "z"}, "cost_usd": 0.25}
    text = json.dumps(body, separators=(f",{spaces}", f"{spaces}:{spaces}")).encode()
    assert lost_nothing(text, msgspec.json.encode(json.loads(text)))


@given(st.binary(max_size=60))
def test_text_that_is_no_json_is_refused_by_a_fault_or_let_through_to_the_parser(raw: bytes) -> None:
    with contextlib.suppress(InvalidError, ValueError):
        refuse_duplicates(raw)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a":1,"a":2}', "a"),
        ('{"a":1,"\\u0061":2}', "a"),
        ('{"x":{"a":1,"a":2}}', "x.a"),
        ('{"x":[0,{"b":1},{"a":1,"a":2}]}', "x[2].a"),
        ('[[{"k":{"a":"k","a":"k"}}]]', "[0][0].k.a"),
        ('{"a":{"a":1},"b":{"a":1},"a":0}', "a"),
        ('{"":1,"":2}', ""),
    ],
)
def test_the_fault_names_the_key_by_its_path(text: str, path: str) -> None:
    with pytest.raises(InvalidError) as caught:
        refuse_duplicates(text.encode())
    assert (caught.value.code, caught.value.param or "") == ("invalid_request", path)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"b","b":"a"}',
        '{"a":"a"}',
        '{"a":{"a":{"a":"a"}}}',
        '[{"a":1},{"a":1}]',
        '{"a\\"":1,"a":"\\"a\\":"}',
        '{"x":"b",":a":1,"y":"\\\\"}',
        '{"a":["a","a",{"b":"a"}],"c":"a"}',
    ],
)
def test_equal_texts_that_are_not_keys_of_one_object_pass(text: str) -> None:
    refuse_duplicates(text.encode())


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth_is_refused_beyond_its_bound_and_not_at_it(left: str, right: str) -> None:
    times = MAX_DEPTH // (left.count("[") + left.count("{"))
    refuse_duplicates((left * times + "1" + right * times).encode())
    with pytest.raises(InvalidError, match="64 deep"):
        refuse_duplicates((left * (times + 1) + "1" + right * (times + 1)).encode())


def test_braces_inside_texts_are_no_depth() -> None:
    refuse_duplicates(json.dumps({"a": "[" * 200, "b": "{" * 200}).encode())


def test_a_path_is_written_as_the_schema_writes_it() -> None:
    assert path_text(("provider_configs", 0, "weight")) == "provider_configs[0].weight"
