"""The manifest's `publisher`."""

from __future__ import annotations

import json


class Publisher:
    def __init__(self, author: str, email: str) -> None:
        self.author = author
        self.email = email
        self.pub_dict = self.__to_dict__()

    def __to_dict__(self) -> dict[str, str]:
        return {"author": self.author, "email": self.email}

    def __str__(self) -> str:
        return json.dumps(self.pub_dict)

    __repr__ = __str__
