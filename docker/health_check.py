"""The container's health: exit code 0 while the server answers and some model can be served.

`HEALTH_CHECK_URL` names another address than that of the image's own configuration.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request

URL = os.environ.get("HEALTH_CHECK_URL", "http://127.0.0.1:8080/ping")
TIMEOUT_S = 4.0


def main() -> int:
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT_S) as answer:
            status = json.load(answer)["status"]
    except (OSError, ValueError, KeyError) as error:
        print(f"{URL}: {error}")
        return 1
    print(status)
    return 1 if status == "Unhealthy" else 0


if __name__ == "__main__":
    sys.exit(main())
