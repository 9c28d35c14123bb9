"""What an operator mistypes stops the start with one sentence: the file, the key, what was expected."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from server.settings import KEYS, Settings, SettingsError, load

GOOD = 'base_url = "https://rse.aubrac.example"\n'


def refusal(folder: Path, text: str | bytes, environ: Mapping[str, str] | None = None) -> str:
    """The sentence with which such a file is refused; the file's name stands for itself as FILE."""
    file = folder / "parvis.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as caught:
        load(file, environ or {})
    return str(caught.value).replace(str(file), "FILE")


def settings(folder: Path, text: str = GOOD, environ: Mapping[str, str] | None = None) -> Settings:
    file = folder / "parvis.toml"
    file.write_text(text)
    return load(file, environ or {})


def test_unknown_key_is_named_with_the_known_ones(tmp_path: Path) -> None:
    expected = f"FILE: “prot” is not a setting; the settings are {', '.join(KEYS)}."
    assert refusal(tmp_path, GOOD + "prot = 8000\n") == expected


def test_unknown_table_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, GOOD + "[web]\nport = 8000\n").startswith("FILE: “web” is not a setting; ")


def test_unknown_variable_is_named(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, GOOD, {"PARVIS_PROT": "1"})
    assert sentence.startswith("environment variable PARVIS_PROT: “prot” is not a setting; ")


def test_missing_base_url_says_what_it_is(tmp_path: Path) -> None:
    expected = "FILE: “base_url” is missing; expected an origin such as https://rse.example."
    assert refusal(tmp_path, "port = 8000\n") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("port = 0", "“port” is 0; expected a whole number from 1 to 65535."),
        ("port = true", "“port” is True; expected a whole number from 1 to 65535."),
        ("port = 80.5", "“port” is 80.5; expected a whole number from 1 to 65535."),
        ('port = "http"', "“port” is 'http'; expected a whole number from 1 to 65535."),
        ('name = ""', "“name” is ''; expected a text."),
        ("data_dir = 5", "“data_dir” is 5; expected a text."),
        ('federation = "closed"', "“federation” is 'closed'; expected off or linked or open."),
        ('default_language = "de"', "“default_language” is 'de'; expected fr or en."),
        ('database_url = "mysql://x"', "“database_url” is 'mysql://x'; expected sqlite://FILE or postgres://…."),
        (
            'trusted_proxies = "here"',
            "“trusted_proxies” is 'here'; expected a list of networks such as [\"127.0.0.0/8\"] "
            "('here' does not appear to be an IPv4 or IPv6 network).",
        ),
        (
            'mail_from = "Parvis <rse@aubrac.example>"',
            "“mail_from” is 'Parvis <rse@aubrac.example>'; expected a mail address such as rse@aubrac.example.",
        ),
        (
            'mail_replies = "re+ply@aubrac.example"',
            "“mail_replies” is 're+ply@aubrac.example'; expected an address of at "
            "most 32 characters and no + before the @.",
        ),
        (
            "allow_private_networks = 7",
            '“allow_private_networks” is 7; expected a list of networks such as ["127.0.0.0/8"].',
        ),
    ],
)
def test_bad_value_is_shown_with_what_was_expected(tmp_path: Path, line: str, expected: str) -> None:
    assert refusal(tmp_path, f"{GOOD}{line}\n") == f"FILE: {expected}"


@pytest.mark.parametrize(
    "origin",
    ["rse.example", "ftp://rse.example", "https://", "https://rse.example/social", "https://me@rse.example",
     "https://rse.example?x=1", "https://rse.example:port", "https://[::1", ""],
)  # fmt: skip
def test_base_url_must_be_an_origin(tmp_path: Path, origin: str) -> None:
    expected = f"FILE: “base_url” is {origin!r}; expected an origin such as https://rse.example, without a path."
    assert refusal(tmp_path, f'base_url = "{origin}"\n') == expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mail.example", "mail.example"),
        ("http://mail.example", "http://mail.example"),
        ("smtp://", "smtp://"),
        ("smtp://me@mail.example", "smtp://***@mail.example"),
        ("smtp://me:hush@mail.example/x", "smtp://***@mail.example/x"),
        ("smtp://me:hush@mail.example:port", "smtp://***@mail.example:port"),
        ("smtp//me:hush@mail.example", "***@mail.example"),
        ("smtp://m%0Ae:hush@mail.example", "smtp://***@mail.example"),
    ],
)
def test_a_mail_server_is_an_address_and_its_password_is_never_repeated(tmp_path: Path, url: str, shown: str) -> None:
    expected = "smtp://[user:password@]host[:port], or smtps:// for TLS from the start"
    assert refusal(tmp_path, f'{GOOD}smtp_url = "{url}"\n') == f"FILE: “smtp_url” is {shown!r}; expected {expected}."


def test_a_mail_server_has_the_port_of_what_it_is_for(tmp_path: Path) -> None:
    ports = {"smtp://mail.example": 25, "smtp://a%40b:p%3Aq@mail.example": 587, "smtps://[2001:db8::1]": 465}
    for url, port in ports.items():
        read = settings(tmp_path, f'{GOOD}smtp_url = "{url}"\n')
        assert read.mail_server is not None and read.mail_server.port == port
        assert "p%3Aq" not in repr(read) and "p:q" not in repr(read.mail_server)
    assert settings(tmp_path, GOOD).mail_sender == "noreply@rse.aubrac.example"


def test_bad_variable_is_blamed_on_the_variable(tmp_path: Path) -> None:
    expected = "environment variable PARVIS_PORT: “port” is 'many'; expected a whole number from 1 to 65535."
    assert refusal(tmp_path, GOOD, {"PARVIS_PORT": "many"}) == expected


def test_what_is_not_toml_is_refused_with_line_and_column(tmp_path: Path) -> None:
    assert refusal(tmp_path, GOOD + "port = \n") == "FILE: not TOML: Invalid value (at line 2, column 8)."


def test_what_is_not_utf8_is_refused_with_the_byte(tmp_path: Path) -> None:
    assert refusal(tmp_path, b'name = "Caf\xe9"\n') == "FILE: not UTF-8 text (byte 11)."


def test_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    file = tmp_path / "absent.toml"
    with pytest.raises(SettingsError) as caught:
        load(file, {})
    assert str(caught.value) == f"{file}: no such file; “parvis init --base-url …” makes one."


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {})
    assert str(caught.value) == f"{tmp_path}: cannot be read (Is a directory)."


def test_unreadable_file_says_why(tmp_path: Path) -> None:
    """A name that is too long is unreadable for root as well, whom permissions do not stop."""
    file = tmp_path / ("x" * 300)
    with pytest.raises(SettingsError) as caught:
        load(file, {})
    assert str(caught.value) == f"{file}: cannot be read (File name too long)."


def test_several_processes_on_sqlite_are_refused(tmp_path: Path) -> None:
    expected = (
        "FILE: “workers” is 2, but an SQLite file serves one process; expected 1, or a postgres:// “database_url”."
    )
    assert refusal(tmp_path, GOOD + "workers = 2\n") == expected


def test_a_mark_at_the_start_of_the_file_does_no_harm(tmp_path: Path) -> None:
    """Some editors write one, and nobody sees it."""
    file = tmp_path / "parvis.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(file, {}).base_url == "https://rse.aubrac.example"


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    read = settings(tmp_path, GOOD + "port = 8000\n", {"PARVIS_PORT": "8001", "PATH": os.environ["PATH"]})
    assert (read.port, read.base_url) == (8001, "https://rse.aubrac.example")


def test_variables_of_the_command_and_the_tests_are_not_settings(tmp_path: Path) -> None:
    assert settings(tmp_path, GOOD, {"PARVIS_CONFIG": "x", "PARVIS_TEST_STRICT": "1"}).port == 8000


def test_paths_start_at_the_files_own_folder(tmp_path: Path) -> None:
    read = settings(tmp_path, GOOD + 'ca_file = "ca.pem"\n')
    assert read.data_dir == tmp_path / "var"
    assert read.database_url == f"sqlite://{tmp_path}/var/parvis.db"
    assert read.ca_file == tmp_path / "ca.pem"


def test_networks_are_read_from_a_list_or_a_line(tmp_path: Path) -> None:
    both = ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")
    read = settings(tmp_path, GOOD + 'trusted_proxies = ["127.0.0.0/8", "::1"]\n')
    assert read.trusted_proxies == both
    read = settings(tmp_path, GOOD, {"PARVIS_TRUSTED_PROXIES": "127.0.0.0/8, ::1"})
    assert read.trusted_proxies == both


def test_secrets_do_not_show_when_settings_are_printed(tmp_path: Path) -> None:
    lines = 'scim_token = "hush"\ndatabase_url = "postgres://parvis:hush@db/parvis"\n'
    read = settings(tmp_path, GOOD + lines)
    assert "hush" not in repr(read)
    assert read.not_built_yet() == ["scim_token"]
