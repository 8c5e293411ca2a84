"""`python -m mms.cli.pages.routes`: the page of the HTTP routes, Markdown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from mms.core import Registry
from mms.http.listener_apis import Apis, HttpApis
from mms.http.routing.page import rows_of_page
from mms.limits.inflating import Inflater
from mms.limits.memory import MemoryLimit
from mms.observe import ModelLines
from mms.settings import Settings

_HEADING = """# Routes

<!-- Made by `python -m mms.cli.pages.routes > docs/routes.md` from mms/http/listener_apis.py. -->

Every route of the server, by listener. The first path that matches counts, whatever its methods. A method that a path
does not have is answered with 405 and an `Allow` header. `{model_name}` stands for one segment, in which `/` is
written `%2F`. Trailing slashes do not count. "Role" is what a key needs where there are [keys](security.md#keys). The
server's own routes come before those of models' routers and graphs, and [plugins](plugins.md) before both.
`GET /openapi.json` has the same routes with their parameters, bodies and answers in OpenAPI.

"Fast path" marks what is served without the general HTTP stack. Answers do not differ.
"""
_SECTIONS = (
    (
        "Inference",
        Apis.INFERENCE,
        "`inference_address`; [inference API](inference-api.md).",
    ),
    ("Management", Apis.MANAGEMENT, "`management_address`; [management API](management-api.md)."),
)
_END = """
`/seldon/{namespace}/{model}/...` has the same routes as `/seldon/{model}/...`, and the root has them, too, while one
[Seldon component](seldon.md#routes) has it. The root and the paths that no route has belong to one of
[MLRun's](mlrun-reference.md#routes) models while it has the root.
"""


def document() -> str:
    """Return the whole page."""
    apis = apis_without_models()
    parts = [_HEADING]
    for title, kind, text in _SECTIONS:
        parts.append(f"\n## {title}\n\n{text}\n\n{rows_of_page(apis.routes(kind))}")
    return "".join(parts) + _END


def apis_without_models() -> HttpApis:
    """Return the APIs of a server without models."""

    def users_of(name: str) -> Sequence[str]:
        return ()

    settings = Settings()
    host = SimpleNamespace(registry=Registry[Any](), users_of=users_of)
    recorder = SimpleNamespace(requests=[], model_lines=ModelLines())

    async def scrape(accept: str | None) -> tuple[str, bytes]:
        return "", b""

    return HttpApis(
        settings,
        cast(Any, host),
        cast(Any, recorder),
        scrape,
        worker_count=0,
        access=None,
        memory=MemoryLimit.of_settings(settings),
        inflater=Inflater(settings.max_request_ratio),
    )


if __name__ == "__main__":
    sys.stdout.write(document())
