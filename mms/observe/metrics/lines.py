"""Metrics as text: the line that a worker prints, the line of the log files, and the query-log record.

worker  `<Name>.<Unit>:<value>|#<dimensions>|#hostname:<host>,<epoch seconds>[,<request ids>]`
file    `<Name>.<Unit>:<value>|#<dimensions>|#hostname:<host>[,requestID:<ids>],timestamp:<epoch seconds>`

MMS matched worker lines against narrow patterns and logged `null` for the rest: for names with other than word
characters, empty units, values that are text or `1e+20`. Here a line is rearranged, whatever it names and measures.
"""

from __future__ import annotations

#: How a worker marks a line of its output as a metric.

#: MMS's word for a metric without a unit.
_NO_UNIT = "unit"
_TAIL = "|#hostname:"


def one_line(text: str) -> str:
    """Return the text with its line ends escaped."""
    if "\n" in text or "\r" in text:
        return text.replace("\r", "\\r").replace("\n", "\\n")
    return text


def file_line(worker_line: str) -> str:
    """Return a worker's metric as the log files have it. What is no metric comes back as it is: nothing gets lost."""
    head, mark, after = worker_line.rpartition(_TAIL)
    host, _, rest = after.partition(",")
    epoch, _, request_ids = rest.partition(",")
    colon = head.find(":")
    if not mark or colon < 1 or not epoch.isdigit():
        return one_line(worker_line)
    if head[colon - 1] == ".":
        head = f"{head[:colon]}{_NO_UNIT}{head[colon:]}"
    if request_ids:
        return one_line(f"{head}{_TAIL}{host},requestID:{request_ids},timestamp:{epoch}")
    return one_line(f"{head}{_TAIL}{host},timestamp:{epoch}")


def qlog_record(line: str, program: str, marketplace: str) -> str:
    """Return the record that MMS's QLogLayout makes of a metric in file form: several lines, the last one `EOE`.

    "" for a line that is no metric.
    """
    head, mark, after = line.rpartition(_TAIL)
    if not mark:
        return ""
    host, _, rest = after.partition(",")
    before, _, epoch = rest.rpartition("timestamp:")
    measured, _, dimensions = head.rpartition("|#")
    named, _, value = measured.partition(":")
    name, _, unit = named.rpartition(".")
    record = [f"HostName={host}"]
    request_ids = before.partition("requestID:")[2].rstrip(",")
    if request_ids:
        record.append(f"RequestId={request_ids}")
    if marketplace:
        record.append(f"Marketplace={marketplace}")
    labels = " ".join(f"{label.replace(':', '|', 1)} " for label in dimensions.split(",") if label)
    record += [
        f"StartTime={epoch}",
        f"Program={program}",
        f"Metrics={name}={value} {unit} {labels}",
        "EOE\n",
    ]
    return "\n".join(record)
