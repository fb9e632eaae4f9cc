"""What may be shown of `backend_kwargs`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.backends import long_secrets, public_kwargs
from rlm.secret_values import scrub, spellings

SECRET_NAMES = (
    *("api_key", "apiKey", "API-KEY", "x-api-key", "subscription-key", "access_token"),
    *("azure_ad_token", "azure_ad_token_provider", "auth_token", "Authorization", "virtual_key"),
    *("aws_secret_access_key", "aws_access_key_id", "aws_session_token", "password", "cookie"),
    *("default_headers", "extra_headers", "client_secret", "vertex_credentials", "config"),
    *("workload_identity", "admin_api_key", "webhook_secret"),
)
HARMLESS = (
    *("model_name", "temperature", "max_tokens", "max_completion_tokens", "stop_token_ids"),
    *("token_limit", "monkey", "keyword", "author"),
    *("base_url", "timeout", "organization", "project", "metadata", "skip_special_tokens"),
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_secrets_are_left_out_at_any_depth(name: str) -> None:
    shown = public_kwargs({name: "hidden", "outer": {"inner": [{name: "hidden", "a": 1}]}})
    assert shown == {"outer": {"inner": [{"a": 1}]}}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_secret_stays(name: str) -> None:
    assert public_kwargs({name: "shown"}) == {name: "shown"}


def test_urls_lose_their_user_and_their_secret_parameters() -> None:
    url = "https://me:hunter22@host:8000/v1?api-version=2&sig=hidden&key=hidden#token=hidden"
    assert public_kwargs({"base_url": url}) == {"base_url": "https://host:8000/v1?api-version=2"}


def test_a_secret_is_hidden_wherever_else_it_stands() -> None:
    shown = public_kwargs({"api_key": "very-secret", "metadata": "of very-secret fame"})
    assert shown == {"metadata": "of *** fame"}


@pytest.mark.parametrize("value", ["sk-abcdefgh1234", "Bearer abcdefgh1234", "AIza" + "x" * 35])
def test_a_value_that_looks_like_a_key_is_hidden_under_any_name(value: str) -> None:
    assert public_kwargs({"metadata": {"note": f"uses {value}"}}) == {
        "metadata": {"note": "uses ***"}
    }


def test_what_json_cannot_hold_is_named_by_its_type() -> None:
    shown = public_kwargs({"http_client": object(), "sampling_args": {"stop": ("a", "b")}})
    assert json.loads(json.dumps(shown)) == {
        "http_client": "<object>",
        "sampling_args": {"stop": ["a", "b"]},
    }


@pytest.mark.parametrize("name", ["env", "default_headers", "default_query", "extra_headers"])
def test_of_the_users_mappings_only_the_names_are_shown(name: str) -> None:
    given = {name: {"DB": "hunter2-hunter2"}, "setup_code": "connect('hunter2-hunter2')"}
    shown = public_kwargs(given)
    assert shown == {name: {"DB": "***"}, "setup_code": "connect('***')"}
    assert public_kwargs(shown) == shown, "what is public stays as it is"


def test_a_url_inside_a_text_loses_its_password() -> None:
    shown = public_kwargs({"metadata": "see https://me:hunter22@host/x?sig=hidden&a=1 there"})
    assert "hunter22" not in str(shown)
    assert "sig=hidden" not in str(shown)


def test_none_means_no_keywords() -> None:
    assert public_kwargs(None) == {}


@given(
    st.recursive(
        st.text(max_size=10),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=10), inner),
    )
)
def test_a_secret_never_comes_through_whatever_it_is_put_in(wrapping: object) -> None:
    shown = public_kwargs({"api_key": "planted-secret", "a": [wrapping, "x planted-secret y"]})
    assert "planted-secret" not in json.dumps(shown)


LONG = "long-enough-0123"


@pytest.mark.parametrize(
    ("kwargs", "secrets"),
    [
        ({"api_key": LONG}, [LONG]),
        ({"api_key": "short"}, []),
        ({"model_name": "a-name-that-is-long"}, []),
        ({"default_headers": {"X-Auth": LONG, "X-Title": "a title that is long"}}, [LONG]),
        ({"extra_headers": {"Authorization": f"Bearer {LONG}"}}, [f"Bearer {LONG}", LONG]),
        ({"env": {"DB_PASSWORD": LONG, "PGPASSWORD": LONG, "DB_NAME": LONG}}, [LONG, LONG]),
        ({"env": {"DB": f"postgres://me:{LONG}@host/db", "HTTPS_PROXY": "http://host:1"}}, [LONG]),
        ({"env": {"TLS_KEY": __file__}}, []),
        ({"env": {"PASSWORD_FILE": "/not/here/but/in/the/sandbox"}}, []),
        ({"env": {"AWS_SECRET_ACCESS_KEY": f"/{LONG}/+="}}, [f"/{LONG}/+="]),
        ({"env": {"A_TOKEN": f"/{LONG * 1000}"}}, [f"/{LONG * 1000}"]),
        ({"secrets": ["the-name-of-a-secret", {"WHATEVER": LONG}]}, [LONG]),
        ({"vertex_credentials": {"private_key": LONG, "type": "service_account"}}, [LONG]),
        ({"keys": [LONG, "short"], "azure_ad_token_provider": print}, [LONG]),
    ],
)
def test_a_long_value_under_a_keys_name_is_masked_everywhere(
    kwargs: dict[str, object], secrets: list[str]
) -> None:
    assert [secret for secret in long_secrets(kwargs) if secret != "me"] == secrets


@pytest.mark.parametrize(
    ("secret", "others"),
    [
        (LONG, set()),
        ("p%40ss-word-0123", {"p@ss-word-0123", "p%2540ss-word-0123"}),
        ("a-key+with/signs=", {"a-key%2Bwith%2Fsigns%3D"}),
        ("two-long\nlines", {"two-long\\nlines", "two-long%0Alines"}),
        ("%41%41%41%41", {"%2541%2541%2541%2541"}),
        ("lone-\ud800-surrogate", {"lone-\\ud800-surrogate", "lone-%3F-surrogate"}),
    ],
)
def test_a_secret_has_no_more_spellings_than_it_needs(secret: str, others: set[str]) -> None:
    assert spellings(secret) == {secret, *others}


def test_a_very_short_secret_does_not_garble_messages() -> None:
    assert scrub("two  words", ["%20%20"]) == "two  words"
