"""`mms cluster` says what is wrong before it waits for anything."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from support.processes import free_port

from mms.cli.cluster.command import cluster


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up", "--fronts", "0"], "0 is not in the range"),
        (["up", "--set", "state_file=/x"], "--state-file says where"),
        (["up", "--models", "a=b.mar"], "--model-store says where"),
        (["up", "--set", "inference_address=bad"], "should be http://host:port"),
        (["up", "--set", "model_store=/a", "--model-store", "/b"], "say the same"),
    ],
)
def test_a_misuse_is_told_without_a_cluster(words: list[str], said: str) -> None:
    done = CliRunner().invoke(cluster, words)
    assert done.exit_code != 0
    assert said in done.output


@pytest.mark.parametrize("command", ["up", "status", "down"])
def test_an_address_at_which_nobody_listens_is_told_at_once(command: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    done = CliRunner().invoke(cluster, [command, "--ray-address", address])
    assert done.exit_code == 3
    assert "nobody answers at" in done.output
    assert address in done.output


def test_a_setting_that_nobody_knows_is_warned_about() -> None:
    done = CliRunner().invoke(
        cluster, ["up", "--set", "nosuch=1", "--ray-address", f"127.0.0.1:{free_port()}"]
    )
    assert "nosuch" in done.output
