"""Settings of what workers may."""

from __future__ import annotations

import os

import pytest

from mms.errors import ConfigurationError
from mms.settings.confinement import parse_rlimits, parse_user


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", ()),
        ("as=4G", (("as", 4 * 2**30),)),
        (" AS = 2 MiB , nofile=64,", (("as", 2 * 2**20), ("nofile", 64))),
        ("core=0,core=1k", (("core", 1024),)),
    ],
)
def test_limits_are_names_with_numbers_and_units(text, limits):
    assert parse_rlimits(text) == limits


@pytest.mark.parametrize("text", ["as", "as=", "as=-1", "as=much", "as=1.5G", "as=1T", "speed=3"])
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(ValueError, match="not a limit|a limit is written name=number"):
        parse_rlimits(text)


def test_a_user_is_known_by_name_or_number():
    me = parse_user(str(os.geteuid()))
    assert me is not None
    assert me.uid == os.geteuid()
    assert me.gid in me.groups
    assert parse_user(f"{os.geteuid()}:{os.getegid()}").groups == (os.getegid(),)
    assert parse_user(" ") is None


def test_no_server_but_roots_takes_another_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ValueError, match="root"):
        parse_user("0")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("worker_user=no-such-user", "not a user of this machine: 'no-such-user'"),
        ("worker_user=0:no-such-group", "not a group of this machine: 'no-such-group'"),
        ("worker_rlimits=speed=3", "not a limit: 'speed'; there are as, core, cpu"),
        ("worker_env_allow=(", "not a regular expression"),
    ],
)
def test_a_value_that_cannot_be_kept_ends_the_start_with_its_reason(load, entry, problem):
    with pytest.raises(ConfigurationError) as caught:
        load(entry)
    assert entry in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "has_secrets"),
    [
        ("", False),
        ("private_key_file=/k\ncertificate_file=/c", True),
        ("keystore=/k", True),
        ("keys_file=/k", True),
        ("blacklist_env_vars=TOKEN", True),
        ("worker_env_allow=MODEL_.*", True),
    ],
)
def test_a_server_with_keys_or_variables_for_itself_has_secrets(load, entry, has_secrets):
    assert load(entry).has_secrets is has_secrets
