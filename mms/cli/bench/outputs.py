"""Where reports go: to the screen and to files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mms.load_test.reports.comparison import Comparison
    from mms.load_test.reports.report import Report

_SUFFIXES = (".html", ".json")


def check_outputs(files: Sequence[Path]) -> None:
    """Raise click's error for a file that no report could be written to: better now than after a long load."""
    for file in files:
        if file.suffix.lower() not in _SUFFIXES:
            raise click.BadParameter(
                f"{file} says no format: .html is a page, .json is for `mms bench compare`",
                param_hint="-o",
            )
        check_writable(file)


def check_writable(file: Path) -> None:
    """Raise click's error for a file that cannot be written."""
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise click.BadParameter(f"{file} cannot be written", param_hint="-o")


def print_report(report: Report) -> None:
    from mms.cli.printing import print_table
    from mms.load_test.reports.text import (
        number,
        percentile_headings,
        percentile_rows,
        summary_rows,
    )

    print_table(("LOAD TEST", report.target), summary_rows(report))
    print()
    print_table(percentile_headings(report), percentile_rows(report))
    for warning in report.warnings():
        print(f"\n{warning}")
    if report.highest_rate is None:
        return
    print()
    if not report.highest_rate:
        print(f"The goal {report.goal} held at no rate.")
    elif report.is_search_complete:
        print(
            f"{number(report.highest_rate)} requests/s is the highest rate that holds {report.goal}."
        )
    else:
        print(
            f"{report.goal} holds at {number(report.highest_rate)} requests/s; the search was not over."
        )


def write_reports(files: Sequence[Path], report: Report) -> None:
    """Raises ClickException."""
    from mms.load_test.reports.page import report_page

    for file in files:
        is_page = file.suffix.lower() == ".html"
        _write(file, report_page(report) if is_page else json.dumps(report.as_dict(), indent=1))


def write_comparison(files: Sequence[Path], comparison: Comparison) -> None:
    """Raises ClickException."""
    from mms.load_test.reports.page import comparison_page

    for file in files:
        is_page = file.suffix.lower() == ".html"
        _write(
            file,
            comparison_page(comparison) if is_page else json.dumps(comparison.as_dict(), indent=1),
        )


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from None
    click.echo(f"Written: {file}", err=True)
