"""`mms drift`: how far recorded requests lie from what a model was trained on."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mms.cli.connecting import as_json
from mms.cli.printing import print_json, print_table

if TYPE_CHECKING:
    from mms.drift.report import DriftReport

_LEVELS = ("possible", "detected")


@click.command("drift")
@click.argument("records", nargs=-1, required=True)
@click.option(
    "--reference",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="model_spec.yaml, JSON, CSV of training data, or records of an earlier time (.jsonl).",
)
@click.option("--model", help="Only the records of this model.")
@click.option("--last", type=click.IntRange(min=1), help="Only so many of the newest records.")
@click.option(
    "--possible-from",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Drift is possible from here on.",
)
@click.option(
    "--detected-from",
    type=click.FloatRange(0, 1),
    default=0.7,
    show_default=True,
    help="Drift is detected from here on.",
)
@click.option("--fail-on", type=click.Choice(_LEVELS), help="Exit with 1 from this status on.")
@as_json
def drift_command(
    records: tuple[str, ...],
    reference: Path,
    model: str | None,
    last: int | None,
    possible_from: float,
    detected_from: float,
    fail_on: str | None,
    is_json: bool,
) -> None:
    """Say how far recorded requests are from a reference.

    RECORDS are files of JSON lines as tracking writes them; "-" is standard input.
    A reference in a file .jsonl is itself records, as of a week when all was well.
    """
    from mms.drift.reference import InvalidReference, read_reference
    from mms.drift.report import DETECTED, POSSIBLE, Thresholds, measure_drift

    try:
        known = read_reference(reference)
        lines = _lines(records)
        report = measure_drift(
            deque(lines, last) if last is not None else lines,
            known,
            model=model,
            thresholds=Thresholds(possible_from, detected_from),
        )
    except InvalidReference as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None
    if is_json:
        print_json(report.describe())
    else:
        _print(report)
    failing = {None: (), "possible": (POSSIBLE, DETECTED), "detected": (DETECTED,)}[fail_on]
    if report.status in failing:
        sys.exit(1)


def _lines(records: tuple[str, ...]) -> Iterator[bytes]:
    for name in records:
        if name == "-":
            yield from sys.stdin.buffer
            continue
        with open(name, "rb") as file:
            yield from file


def _print(report: DriftReport) -> None:
    rows = [
        (
            feature.name,
            feature.kind,
            feature.count,
            *map(_number, (feature.expected.mean, feature.mean)),
            *map(_number, (feature.tvd, feature.hellinger, feature.kld)),
            report.thresholds.status(feature.drift),
        )
        for feature in report.features
    ]
    if rows:
        headings = ("FEATURE", "KIND", "VALUES", "EXPECTED MEAN", "MEAN", "TVD", "HELLINGER", "KLD")
        print_table((*headings, "STATUS"), rows)
        print()
    for title, names in (
        ("In the reference, in no record", report.missing),
        ("In records, not in the reference", report.unknown),
    ):
        if names:
            print(f"{title}: {', '.join(names)}")
    print(
        f"{report.requests} requests, {report.errors} errors, {report.unread} records without numbers"
    )
    print(f"General drift {_number(report.general_drift)}: {report.status}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
