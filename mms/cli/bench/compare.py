"""`mms bench compare`: two reports side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mms.cli.connecting import as_json

if TYPE_CHECKING:
    from mms.load_test.reports.comparison import Comparison, Row
    from mms.load_test.reports.report import Report

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("first", metavar="A.json", type=_FILE)
@click.argument("second", metavar="B.json", type=_FILE)
@click.option(
    "--allow",
    type=click.FloatRange(min=0),
    metavar="PERCENT",
    help="Exit code 1 if a figure of B is worse by more than this.",
)
@click.option(
    "-o",
    "--report",
    "reports",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the comparison: a page (.html) or .json.",
)
@as_json
def compare(
    first: Path, second: Path, allow: float | None, reports: tuple[Path, ...], is_json: bool
) -> None:
    """Put two JSON reports of `mms bench` side by side.

    It says how B is against A.

    \b
    Examples:
      mms bench hello --rate 200 -o before.json
      mms bench compare before.json after.json --allow 10
    """
    from mms.cli.bench.outputs import check_outputs, write_comparison
    from mms.cli.printing import print_json
    from mms.load_test.reports.comparison import compare_reports

    check_outputs(reports)
    found = compare_reports(_report(first), _report(second))
    if is_json:
        print_json(found.as_dict())
    else:
        _print(found)
    write_comparison(reports, found)
    if allow is not None and found.worst() * 100 > allow:
        raise SystemExit(1)


def _report(file: Path) -> Report:
    from mms.load_test.reports.report import MOST_BYTES, InvalidReport, read_report

    try:
        with file.open("rb") as opened:
            report = read_report(opened.read(MOST_BYTES + 1))
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}.") from None
    except InvalidReport as error:
        raise click.ClickException(f"{file} is no report: {error}.") from None
    report.name = file.name
    return report


def _print(found: Comparison) -> None:
    from mms.cli.printing import print_table

    print_table(
        ("", found.first.name, found.second.name, "CHANGE", ""),
        [
            (row.what, _value(row, row.first), _value(row, row.second), _change(row), row.verdict)
            for row in found.rows
        ],
    )
    for sentence in found.differences:
        print(f"\n{sentence}")


def _value(row: Row, value: float | None) -> str:
    from mms.load_test.reports.text import milliseconds, number

    if row.unit == "ms":
        return milliseconds(value)
    return "-" if value is None else f"{number(value)}{' ' * (row.unit[0] != '/')}{row.unit}"


def _change(row: Row) -> str:
    return "" if row.change is None else f"{row.change:+.1%}"
