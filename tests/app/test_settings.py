"""Settings: read once, reported all at once, never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import settings
from app.settings import SettingsError, load

URL = "postgresql://user:secret@db:5432/opportunities"
NO_URL = (
    "DATABASE_URL is not a URL: check host and port, and write @ : / ? # % and space in a password as %40 %3A %2F %3F %23 %25 %20."
)


def problems(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load({"DATABASE_URL": URL} | environ)
    return caught.value.problems


def test_the_environment_is_enough() -> None:
    loaded = load({"DATABASE_URL": URL, "OPPORTUNITIES_PORT": "9000", "OPPORTUNITIES_RATE_LIMIT": "2.5", "HOME": "/x"})
    assert (loaded.database_url, loaded.port, loaded.rate_limit, loaded.host) == (URL, 9000, 2.5, "127.0.0.1")


def test_the_command_line_stands_before_the_environment() -> None:
    assert load({"DATABASE_URL": URL, "OPPORTUNITIES_PORT": "9000"}, port=9001, host=None).port == 9001


def test_a_setting_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(URL + "\n")
    assert load({"DATABASE_URL_FILE": str(tmp_path / "url")}).database_url == URL


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert load({"DATABASE_URL": URL, "OPPORTUNITIES_PORT": ""}).port == 8000


def test_everything_wrong_is_reported_at_once() -> None:
    found = problems(OPPORTUNITIES_PORT="eighty", OPPORTUNITIES_WORKERS="0", OPPORTUNITIES_LOG_LEVEL="loud")
    assert found == [
        "OPPORTUNITIES_PORT is 'eighty', but must be a whole number from 1 to 65535.",
        "OPPORTUNITIES_WORKERS is '0', but must be a whole number from 1 to 256.",
        "OPPORTUNITIES_LOG_LEVEL is 'loud', but must be one of debug, info, warning, error.",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OPPORTUNITIES_PROT", "80", "OPPORTUNITIES_PROT is not a setting. Did you mean OPPORTUNITIES_PORT?"),
        ("OPPORTUNITIES_RATE_LIMIT", "nan", "OPPORTUNITIES_RATE_LIMIT is 'nan', but must be a number of at least 0."),
        ("OPPORTUNITIES_RATE_LIMIT", "-1", "OPPORTUNITIES_RATE_LIMIT is '-1', but must be a number of at least 0."),
        (
            "OPPORTUNITIES_PUBLIC_URL",
            "crm",
            "OPPORTUNITIES_PUBLIC_URL must be an http or https URL, such as https://crm.example.com.",
        ),
        (
            "OPPORTUNITIES_PORT_FILE",
            "/nowhere",
            "OPPORTUNITIES_PORT cannot be read from /nowhere: No such file or directory.",
        ),
        ("DATABASE_URL", "postgresql://u:secret@db:port/x", NO_URL),
        ("DATABASE_URL", "postgresql://u:secret@db:5432,other:70000/x", NO_URL),
        ("DATABASE_URL", "postgresql://u:sec/ret@db/x", NO_URL),
        ("DATABASE_URL", "postgresql://u:sec@ret@db/x", NO_URL),
        ("DATABASE_URL", "postgresql://u:sec%ret@db/x", NO_URL),
        ("DATABASE_URL", "postgresql://u:sec ret@db/x", NO_URL),
        (
            "OPPORTUNITIES_TRUSTED_PROXIES",
            "10.0.0.1/8",
            "OPPORTUNITIES_TRUSTED_PROXIES must be networks like 10.1.0.0/16: 10.0.0.1/8 has host bits set.",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_it_should_be(name: str, value: str, said: str) -> None:
    assert problems(**{name: value}) == [said]


def test_a_missing_database_says_what_it_is() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not set: The PostgreSQL database"):
        load({})


def test_a_setting_and_its_file_together_are_refused(tmp_path: Path) -> None:
    assert problems(DATABASE_URL_FILE=str(tmp_path)) == ["DATABASE_URL and DATABASE_URL_FILE are both set: keep one."]


@pytest.mark.parametrize("place", ["db", "db:5432", "[::1]:5432", "one:5432,two,[::1]:5433", "%2Frun%2Fpostgresql", "", ":5433"])
def test_a_database_has_one_host_or_several_or_a_socket(place: str) -> None:
    url = f"postgresql://u:p%40ss%2F%25@{place}/x?target_session_attrs=read-write"
    assert load({"DATABASE_URL": url}).redacted()["DATABASE_URL"] == url.replace("p%40ss%2F%25", "***")
    assert load({"DATABASE_URL": f"postgresql://{place}"}).database_url == f"postgresql://{place}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:se#cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:se?cret@h/d", "postgresql://u:***@h/d"),
        (
            "postgresql://u@h/d?password=secret&sslpassword=secret&sslmode=require",
            "postgresql://u@h/d?password=***&sslpassword=***&sslmode=require",
        ),
        ("postgresql://u:secret@h/d?application_name=a@b", "postgresql://u:***@b"),
        ("postgresql://u@h:5432/d?application_name=a@b", "postgresql://u@h:5432/d?application_name=a@b"),
    ],
)
def test_a_password_is_hidden_wherever_it_is_in_the_url(url: str, shown: str) -> None:
    assert load({"DATABASE_URL": url}).redacted()["DATABASE_URL"] == shown


def test_a_password_is_never_shown() -> None:
    assert "secret" not in str(load({"DATABASE_URL": URL, "OPPORTUNITIES_METRICS_TOKEN": "secret"}).redacted())
    assert "secret" not in str(problems(DATABASE_URL="mysql://user:secret@db/x"))


def test_another_process_reads_the_same_settings() -> None:
    loaded = load({"DATABASE_URL": URL}, port=9001, rate_limit=0.5, public_url="https://crm.example.com")
    assert load(loaded.environ()) == loaded


def test_the_table_has_a_row_for_each_setting() -> None:
    assert settings.table().count("\n") == len(settings.Settings.__struct_fields__) + 2
