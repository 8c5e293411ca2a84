"""Packages of AWS beside this server are known by the folders of their metadata."""

from __future__ import annotations

from pathlib import Path

from mms.machine.installed import packages_of_aws


def test_packages_of_aws_are_named_with_their_versions(tmp_path: Path) -> None:
    for name in (
        "model_archiver-1.0.3",
        "multi_model_server-1.1.11",
        "mxnet_model_server-1.0.8",
        "marserve-2.0.0",
        "torch_model_archiver-0.12.0",
    ):
        (tmp_path / f"{name}.dist-info").mkdir()
    assert packages_of_aws(tmp_path) == [
        "multi-model-server==1.1.11",
        "mxnet-model-server==1.0.8",
        "model-archiver==1.0.3",
    ]


def test_this_server_by_its_former_name_is_none_of_aws_s(tmp_path: Path) -> None:
    (tmp_path / "multi_model_server-2.0.0.dist-info").mkdir()
    assert packages_of_aws(tmp_path) == []
