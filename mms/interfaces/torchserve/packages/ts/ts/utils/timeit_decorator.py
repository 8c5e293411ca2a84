"""A decorator that prints how long a function takes."""

from __future__ import annotations

from mms.utils.timeit_decorator import timeit as timeit
