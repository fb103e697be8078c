"""No key, password or token is shown, by whichever name and in whichever shape it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from foundation.errors import InvalidSetting, SixplyError, UpstreamDown
from foundation.output.credentials import MASK, mask_text, mask_values
from serving.settings import load

SECRET = "SuperSecretPw4"


@pytest.mark.parametrize(
    "text",
    [
        f"http://ada:{SECRET}@host:8000/v1",
        f"postgresql+psycopg://{SECRET}@host/db",
        f"redis://:{SECRET}@host:6379/0",
        f"amqp://ada:p@{SECRET}@host",
        f"https://host/v1?api_key={SECRET}",
        f"https://host/v1?page=2&access_token={SECRET}#top",
        f"https://host/blob?sv=1&sig={SECRET}",
        f"https://host/v1?X-Amz-Signature={SECRET}",
        f"https://host/v1?key={SECRET}",
        f"host=db user=ada password={SECRET} dbname=x",
        f"password='{SECRET}'",
        f'{{"api_key": "{SECRET}", "page": 2}}',
        f"{{'authorization': '{SECRET}'}}",
        f"client_secret = '{SECRET}'",
        f"Authorization: Bearer {SECRET}",
        f"authorization=Basic {SECRET}==",
        f"npx server --token {SECRET} /srv",
        f"npx server --api-key={SECRET}",
        f"Incorrect API key provided: sk-{SECRET}1234567",
        f"sixply_{SECRET}1234567",
        f"sk_live_{SECRET}1234567",
        f"gho_{SECRET}1234567",
        f"token-{SECRET}1234567",
        f"eyJ{SECRET}.{SECRET}.{SECRET}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}+/==\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_a_credential_in_a_text_is_masked(text: str) -> None:
    masked = mask_text(text)
    assert SECRET not in masked
    assert MASK in masked
    assert SECRET not in str(UpstreamDown(f"Cannot reach it: {text}. Try again."))


@pytest.mark.parametrize(
    "text",
    [
        "https://host/v1?page=2&key_id=7",
        "https://medium.com/@ada/a-text",
        "write to ada@example.org",
        "Set SIXPLY__MODELS__CHAT__API_KEY=... in the environment.",
        "No valid API key. Send it as: Authorization: Bearer sixply_...",
        'Setting "models.max_tokens" does not fit: 1000 tokens of 900.',
        "The key words are: refund, return.",
        "Basic questions and bearer bonds",
        "token_count_of_the_whole_request is no setting",
        "api-reference-of-the-2nd-edition.md",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert mask_text(text) == text


def test_settings_are_masked_by_type_by_name_and_inside_of_texts_however_deep() -> None:
    values = {
        "use": "otlp",
        "headers": {"X-Anything": SECRET},
        "headers_from": {"Authorization": "VARIABLE"},
        "api_key": SecretStr(SECRET),
        "inner": [{"client_secret": SECRET, "passphrase": SECRET}, f"http://a:{SECRET}@host"],
        "command": ("npx", "--auth-token", SECRET, "/srv"),
        "max_tokens": 5,
        "keys_file": "keys.json",
        "secret": "",
    }
    masked = mask_values(values)
    assert SECRET not in str(masked)
    assert (masked["use"], masked["max_tokens"], masked["keys_file"], masked["secret"]) == ("otlp", 5, "keys.json", "")
    assert masked["headers"] == {"X-Anything": MASK}
    assert masked["command"] == ("npx", "--auth-token", MASK, "/srv")


def test_a_setting_that_does_not_fit_is_not_quoted_with_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    for text in (
        f'[models]\nchat = "http://a:{SECRET}@host"',
        f'[models]\nfallbacks = {{ use = "x", headers = {{ a = "{SECRET}" }} }}',
        f'[serving.http]\nport = {{ password = "{SECRET}" }}',
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidSetting) as refused:
            load(path)
        assert SECRET not in str(refused.value)


def test_every_error_of_ours_is_masked_where_it_is_made() -> None:
    assert SECRET not in repr(SixplyError(f"http://ada:{SECRET}@host refused the connection."))


@pytest.mark.parametrize("unit", ["a-", "key-", "--a", "?key", "://a", "a=", "password ", "eyJ-", "-----BEGIN A"])
def test_a_long_text_of_a_caller_is_masked_in_one_pass(unit: str) -> None:
    """Half a million beginnings of a name took hours when each was read to the end of the text."""
    assert mask_text(unit * 300_000)
