"""Secrets: what is shown once, what is a mask everywhere else, and what never leaves."""

from __future__ import annotations

import json
import pickle
import traceback
import zlib
from typing import Any

import pytest

from furnished import SECRET, Furnished
from house import House, refused
from limen import model
from limen.secret import Secret, digest, mask, new_id, new_virtual_key

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def bench() -> Furnished:
    return Furnished()


def test_a_new_value_is_prefix_random_bits_and_a_checksum_of_them() -> None:
    values = {new_virtual_key() for _ in range(200)}
    assert len(values) == 200
    for value in values:
        body, check = value.removeprefix("sk-bf-")[:43], value[-6:]
        assert len(value) == 6 + 43 + 6
        number = 0
        for digit in check:
            number = number * 62 + DIGITS.index(digit)
        assert number == zlib.crc32(body.encode())
    firsts = {value[6] for value in values}
    assert len(firsts) > 5, "the leading digit of 256 random bits varies"


def test_ids_are_random_uuids_of_version_four() -> None:
    import uuid

    ids = {new_id() for _ in range(200)}
    assert len(ids) == 200
    assert {(uuid.UUID(id).version, uuid.UUID(id).variant, str(uuid.UUID(id)) == id) for id in ids} == {
        (4, uuid.RFC_4122, True)
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "********"),
        ("short", "********"),
        ("x" * 19, "********"),
        ("0123456789abcdefWXYZ", "********WXYZ"),
    ],
)
def test_a_mask_tells_the_last_four_of_a_long_value_only(value: str, shown: str) -> None:
    assert mask(value) == shown


def test_every_text_form_of_a_secret_is_its_mask() -> None:
    secret = Secret(SECRET)
    forms = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>40}",
        repr([secret]),
        f"{secret:>20}",
    ]
    assert not [form for form in forms if SECRET[:-4] in form]
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    assert secret.reveal() == SECRET
    assert secret == Secret(SECRET) != Secret("other")
    assert len({secret, Secret(SECRET)}) == 1


def test_the_value_of_a_key_is_told_by_create_and_rotate_only(bench: Furnished) -> None:
    keys = bench.engine.virtual_keys
    made = keys.create({"name": "n"})
    rotated = keys.rotate(made.id)
    assert made.value.startswith("sk-bf-")
    assert rotated.value.startswith("sk-bf-")
    assert made.value != rotated.value
    shown = [keys.get(made.id), keys.update(made.id, {"description": "d"}), *keys.list(search="n")]
    assert {key.value for key in shown} == {"********" + rotated.value[-4:]}


def test_a_secret_is_nowhere_but_in_the_answer_that_tells_it(bench: Furnished) -> None:
    engine = bench.engine
    made = engine.virtual_keys.create({"name": "n", "team_id": bench.team.id})
    told = [made.value[6:30], SECRET[:-4]]
    shown = "".join(
        [
            repr(made),
            str(made),
            repr(made.__rich_repr__()),
            *(repr(engine.virtual_keys.list()), repr(engine.provider_keys.list()), repr(engine.teams.list())),
            *(picture.decode() for picture in bench.picture()),
            repr(model.CreateProviderKeyRequest(provider="p", name="n", value=SECRET)),
            repr(engine.settings),
        ]
    )
    assert not [secret for secret in told if secret in shown]
    assert b"sk-bf-" not in b"".join(engine._book.records["virtual_key"].values()), "kept as a hash"


@pytest.mark.parametrize("field", ["value", "azure_client_secret", "bedrock_secret_key"])
def test_no_fault_repeats_a_secret(bench: Furnished, field: str) -> None:
    body = {"provider": "p", "name": "n", "value": "other", field: SECRET, "weight": -1, "nonsense": SECRET}
    fault = refused(lambda: bench.engine.provider_keys.create(body))
    assert SECRET not in repr(fault.faults) + "".join(traceback.format_exception(fault, limit=0))


def test_a_mask_that_comes_back_means_unchanged(bench: Furnished) -> None:
    keys, id = bench.engine.provider_keys, bench.provider_key.key_id
    shown = keys.update(
        id, {"azure_client_secret": "another-secret-0123456789", "azure_endpoint": "env.ALLOWED"}
    )
    for echo in (
        shown,
        json.loads(model.to_json(shown)),
        {"value": "********6789", "azure_client_secret": "********6789"},
    ):
        keys.update(id, echo)
    record = bench.engine._book.get("provider_key", id)
    assert record.secrets["value"].text.reveal() == SECRET
    assert record.secrets["azure_client_secret"].text.reveal() == "another-secret-0123456789"
    assert record.secrets["azure_endpoint"].from_env
    assert keys.update(id, {"value": "a-new-secret-0123456789-abcd"}).value.value == "********abcd"
    assert keys.update(id, {"azure_client_secret": None}).azure_client_secret is None


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("env.ALLOWED", model.EnvVar(value="", env_var="env.ALLOWED", from_env=True)),
        ({"env_var": "env.ALLOWED"}, model.EnvVar(value="", env_var="env.ALLOWED", from_env=True)),
        (
            {"value": "ignored", "env_var": "env.ALLOWED", "from_env": True},
            model.EnvVar(value="", env_var="env.ALLOWED", from_env=True),
        ),
        ("literal", model.EnvVar(value="********", env_var="", from_env=False)),
        (
            {"value": "literal", "env_var": "", "from_env": False},
            model.EnvVar(value="********", env_var="", from_env=False),
        ),
        (model.EnvVarRequest(value="literal"), model.EnvVar(value="********", env_var="", from_env=False)),
    ],
)
def test_a_secret_goes_in_as_text_or_as_the_object_that_comes_out(
    bench: Furnished, given: Any, shown: Any
) -> None:
    key = bench.engine.provider_keys.create({"provider": "p", "name": "n", "value": given})
    assert key.value == shown


def test_rotation_keeps_the_old_value_good_for_its_grace() -> None:
    house = House()
    key = house.key(requests=(10, "1d"))
    house.admit(key)
    second = house.engine.virtual_keys.rotate(key.id, grace=60)
    third = house.engine.virtual_keys.rotate(key.id, grace=10)
    assert second.rate_limit.id == key.rate_limit.id
    assert third.rate_limit.request_current_usage == 1
    good = {"first": key.value, "second": second.value, "third": third.value}

    def served() -> set[str]:
        return {name for name, value in good.items() if is_known(house, value)}

    assert served() == {"first", "second", "third"}
    house.at(10_000)
    assert served() == {"first", "third"}
    house.at(60_000)
    assert served() == {"third"}
    fourth = house.engine.virtual_keys.rotate(key.id)
    good["fourth"] = fourth.value
    assert served() == {"fourth"}


def is_known(house: House, value: str) -> bool:
    return getattr(house.engine.peek(value, "m", provider="p"), "code", None) != "virtual_key_not_found"


def test_former_values_are_bounded() -> None:
    house = House()
    key = house.key()
    for _ in range(16):
        house.engine.virtual_keys.rotate(key.id, grace=60)
    refused(lambda: house.engine.virtual_keys.rotate(key.id, grace=60), "conflict", "grace")
    house.at(60_000)
    house.engine.virtual_keys.rotate(key.id, grace=60)


def test_a_digest_is_the_sha256_of_the_value() -> None:
    assert digest("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
