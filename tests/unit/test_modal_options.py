"""What `environment_kwargs` of Modal are refused, and where a token is looked for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rlm import RLM
from rlm.core.environments import check_environment
from rlm.errors import ArgumentError, ConfigurationError, MissingKeyError, MissingPackageError
from rlm_kernel.modal.account import token_source
from rlm_kernel.modal.options import ModalOptions, modal_options

if TYPE_CHECKING:
    from pathlib import Path

KWARGS = {"model_name": "m", "base_url": "http://127.0.0.1:9/v1"}


@pytest.fixture
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODAL_TOKEN_ID", "ak-1")
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-1")


def make(**kwargs: Any) -> RLM:
    return RLM(backend_kwargs=dict(KWARGS), environment="modal", environment_kwargs=kwargs)


def test_without_any_the_network_is_blocked() -> None:
    assert modal_options({}) == ModalOptions()
    assert modal_options({}).block_network


def test_the_page_s_example_is_taken() -> None:
    options = modal_options({"app_name": "my-app", "timeout": 600})
    assert (options.app_name, options.timeout) == ("my-app", 600)


def test_an_allowlist_opens_the_network_for_its_domains_only() -> None:
    options = modal_options({"outbound_domain_allowlist": ["example.org"]})
    assert not options.block_network
    assert options.outbound_domain_allowlist == ("example.org",)
    with pytest.raises(ValueError, match="block_network=True"):
        modal_options({"outbound_domain_allowlist": [], "block_network": True})


def test_memory_is_mebibytes_or_text() -> None:
    assert modal_options({"memory": 512}).memory == 512
    assert modal_options({"memory": "4g"}).memory == 4096
    assert modal_options({"memory": ["1g", "2g"]}).memory == (1024, 2048)


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"app_name": ""}, "app_name"),
        ({"app_name": None}, "app_name"),
        ({"timeout": "600"}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"timeout": 1.5}, "timeout"),
        ({"idle_timeout": True}, "idle_timeout"),
        ({"reconnect_timeout": "long"}, "reconnect_timeout"),
        ({"image": 3}, "image"),
        ({"image": ""}, "image"),
        ({"packages": "pandas"}, "packages"),
        ({"cpu": "two"}, "cpu"),
        ({"memory": 1.5}, "memory"),
        ({"gpu": ["T4"]}, "gpu"),
        ({"region": [1]}, "region"),
        ({"block_network": "no"}, "block_network"),
        ({"outbound_domain_allowlist": "example.org"}, "outbound_domain_allowlist"),
        ({"volumes": ["corpus"]}, "volumes"),
        ({"secrets": "db"}, "secrets"),
        ({"secrets": {"A": "b"}}, "secrets"),
        ({"tags": {"a": 1}}, "tags"),
        ({"mem_limit": "4g"}, "'mem_limit'"),
    ],
)
@pytest.mark.usefixtures("_token")
def test_a_wrong_type_is_a_type_error_that_names_it(kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises(ArgumentError, match=word) as caught:
        make(**kwargs)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": 100_000}, "86400"),
        ({"idle_timeout": 0}, "idle_timeout"),
        ({"reconnect_timeout": -1}, "reconnect_timeout"),
        ({"packages": ["--pre"]}, "packages"),
        ({"cpu": 0}, "cpu"),
        ({"cpu": [1, 2, 3]}, "cpu"),
        ({"memory": "much"}, "memory"),
        ({"memory": 0}, "memory"),
        ({"workdir": "here"}, "workdir"),
    ],
)
@pytest.mark.usefixtures("_token")
def test_a_wrong_value_is_a_value_error_that_names_it(kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        make(**kwargs)


def test_no_token_is_an_error_at_construction(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODAL_CONFIG_PATH", str(tmp_path / "none"))
    with pytest.raises(MissingKeyError) as caught:
        make()
    for word in ("modal setup", "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"):
        assert word in str(caught.value)


@pytest.mark.usefixtures("_token")
def test_a_missing_package_is_an_import_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"rlm-kernel\[modal\]"):
        check_environment("modal", {})


@pytest.mark.usefixtures("_token")
def test_construction_imports_no_modal() -> None:
    code = (
        "import sys; from rlm import RLM\n"
        f"RLM(backend_kwargs={KWARGS!r}, environment='modal')\n"
        "print('modal' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("text", "profile", "found"),
    [
        ("", None, False),
        ("no toml at all [", None, False),
        ("[me]\nactive = true\ntoken_id = 'a'\ntoken_secret = 'b'\n", None, True),
        ("[me]\nactive = true\ntoken_id = 'a'\n", None, False),
        ("[me]\ntoken_id = 'a'\ntoken_secret = 'b'\n", None, False),
        ("[me]\ntoken_id = 'a'\ntoken_secret = 'b'\n", "me", True),
        ("[default]\ntoken_id = 'a'\ntoken_secret = 'b'\n", None, True),
        ("[default]\ntoken_id = 'a'\ntoken_secret = 'b'\n", "other", False),
    ],
)
def test_a_token_is_found_in_the_profile_that_the_sdk_uses(
    tmp_path: Path, text: str, profile: str | None, found: bool
) -> None:
    file = tmp_path / "modal.toml"
    file.write_text(text)
    variables = {"MODAL_CONFIG_PATH": str(file)}
    if profile is not None:
        variables["MODAL_PROFILE"] = profile
    assert token_source(variables) == (str(file) if found else None)


@pytest.mark.usefixtures("_token")
def test_secrets_are_not_logged() -> None:
    import modal as sdk

    image = sdk.Image.debian_slim()
    rlm = make(secrets=[{"DB": "very-secret"}], volumes={"/d": "v"}, image=image)
    assert "very-secret" not in repr(rlm.config.public())
