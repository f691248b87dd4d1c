"""JSON text keeps what users put in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock import Decision, jsontext, v1

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_every_value_survives_a_message(value: Any) -> None:
    message = v1.RunSpec(input_json=jsontext.dumps(value))
    received = v1.RunSpec.FromString(message.SerializeToString())
    assert jsontext.loads(received.input_json) == value


def test_text_stays_readable_and_compact() -> None:
    assert jsontext.dumps({"stadt": "Köln 🌉", "n": [1, 2]}) == '{"stadt":"Köln 🌉","n":[1,2]}'


def test_lone_surrogates_are_escaped() -> None:
    assert jsontext.dumps("Köln \ud800") == r'"K\u00f6ln \ud800"'


def test_integers_are_exact() -> None:
    assert jsontext.loads(jsontext.dumps(10**400 + 1)) == 10**400 + 1


def test_empty_text_is_absent() -> None:
    assert jsontext.loads("") is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_what_json_does_not_have_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        jsontext.dumps(value)
    with pytest.raises(ValueError, match="JSON"):
        jsontext.loads(json.dumps(value))


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        Decision.external_result(object())
