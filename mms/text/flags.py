"""Command lines whose parser names the nearest flag where one is unknown. Standard library alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from mms.text.nearest import nearest


class FlagParser(argparse.ArgumentParser):
    """argparse's parser, with `did you mean ...?` in its errors."""

    _words: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]  # the overloads of the base say no more than this
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        self._words = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        hints = [hint for word in self._words if (hint := self._hint_for(word))]
        super().error("; ".join([message, *dict.fromkeys(hints)]))

    def _hint_for(self, word: str) -> str:
        flag = word.partition("=")[0]
        known = [name for name in self._option_string_actions if name.startswith("--")]
        if f"--{word}" in known:
            return f"did you mean --{word}?"
        if not flag.startswith("--") or any(name.startswith(flag) for name in known):
            return ""
        near = nearest(flag, known)
        return f"there is no {flag}, did you mean {near}?" if near is not None else ""
