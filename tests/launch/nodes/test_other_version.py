"""A node that has another version of this package than the server."""

from __future__ import annotations

from mms.launch.nodes.host import run_host
from mms.version import __version__


async def test_a_node_of_another_version_says_so_whatever_that_version_is_told() -> None:
    told = await run_host({"version": "99.0", "of_a_later_one": 1}, lambda digest: [], "n", None)
    assert told == (
        f"node n has marserve {__version__}, the server has 99.0: "
        'pip install "marserve[ray]==99.0" there'
    )
