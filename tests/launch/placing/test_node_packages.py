"""Ray installs what a model asks its nodes for, with `--full` alone: Ray copies its own environment for that."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from urllib.parse import quote

import pytest
from real_cluster import started_cluster, started_server
from support.client import Reply

_INSTALL_S = 300.0
_HANDLER = """
import only_on_nodes

def handle(data, context):
    return [only_on_nodes.WORD] * len(data or [])
"""


def write_wheel(folder: Path) -> Path:
    """Write a package of one module, for which no index of packages is needed."""
    wheel = folder / "only_on_nodes-1.0-py3-none-any.whl"
    about = "only_on_nodes-1.0.dist-info"
    files = {
        "only_on_nodes.py": "WORD = 'installed'\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: only-on-nodes\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in {**files, f"{about}/RECORD": record}.items():
            archive.writestr(name, content)
    return wheel


@pytest.mark.timeout(900)
def test_a_model_has_the_packages_that_it_asks_its_nodes_for(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with (
        # Of one node: nodes of one machine would make the same environment in the same folder.
        started_cluster(request, "cluster.py", "1") as cluster,
        started_server(cluster, tmp_path) as server,
    ):
        (server.store / "sleeps" / "service.py").write_text(_HANDLER)
        path = "/models?url=sleeps&initial_workers=2&synchronous=true&ray_runtime_env="

        def register(name: str, package: str) -> Reply:
            asked = quote(json.dumps({"pip": [package]}))
            return server.management.post(
                f"{path}{asked}&model_name={name}", b"", timeout_s=_INSTALL_S
            )

        registered = register("m", str(write_wheel(tmp_path)))
        assert registered.status == 200, registered.body
        assert server.inference.post("/predictions/m", b"x").body == b"installed"
        refused = register("n", str(tmp_path / "none-1.0-py3-none-any.whl"))
        assert refused.status == 500
        assert b"none-1.0-py3-none-any.whl" in refused.body
