"""`make load`: whole days through the real function process, over HTTP, with a slow Drive.

MongoDB is real, Google Drive is the stand-in of the tests answering as slowly as
`bench/load/drive.py` says. Every round has a database, a Drive and a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.status import Status

from bench.load import drive, process
from bench.load.figures import CHUNK, DEADLINE, WHOLE, Case
from bench.load.run import LoadError, measure
from bench.load.table import Rounds, show
from daybook.errors import DaybookError
from daybook.local.mongod import EmbeddedMongod

CHUNK_BYTES = 262_144


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    if not process.available():
        sys.exit("make load reads memory and processor time from /proc, so it needs Linux")
    progress = Console(stderr=True)
    try:
        with EmbeddedMongod(cache_gb=options.cache_gb) as mongod:
            found = [_rounds(mongod, case, options.rounds, progress) for case in _cases(options)]
    except (LoadError, DaybookError) as error:
        sys.exit(str(error))
    if options.json:
        print(json.dumps(_doc(options, found), indent=2))
    else:
        show(found)
        print(_assumed(options.slower))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--entries", type=_whole, nargs="+", default=[5_000, 10_000], help="queued entries of a day"
    )
    parser.add_argument("--lines", type=_whole, default=2, help="lines of each entry, 2 or more")
    parser.add_argument("--rounds", type=_whole, default=3, help="how often each is measured")
    parser.add_argument(
        "--slower",
        type=_positive,
        default=1.0,
        help="how many times as slowly as assumed Drive answers; 0.5 is twice as fast",
    )
    parser.add_argument(
        "--deadline",
        type=_positive,
        default=1.0,
        help="seconds of each invocation, in the days that take several",
    )
    parser.add_argument(
        "--chunk-bytes", type=_whole, default=CHUNK_BYTES, help="size of their upload's chunks"
    )
    parser.add_argument(
        "--only", choices=("one", "several"), help="only days of one, or of several, invocations"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        type=_setting,
        help="a setting of the function, such as DAYBOOK_UPLOAD_CHUNK_BYTES=4194304",
    )
    parser.add_argument("--cache-gb", type=_positive, default=1.0, help="MongoDB's cache")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    return parser.parse_args(arguments)


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    shared: dict[str, Any] = {"lines": options.lines, "slower": options.slower}
    settings = dict(options.set)
    for entries in options.entries:
        if options.only != "several":
            yield Case(entries=entries, settings=settings, **shared)
    short = {
        DEADLINE: f"{options.deadline:g}",
        CHUNK: str(options.chunk_bytes),
        WHOLE: "0",
    }
    for entries in options.entries:
        if options.only != "one":
            yield Case(entries=entries, settings={**settings, **short}, several=True, **shared)


def _rounds(mongod: EmbeddedMongod, case: Case, count: int, progress: Console) -> Rounds:
    kind = "several invocations" if case.several else "one invocation"
    measured = []
    for number in range(1, count + 1):
        what = f"{case.entries:>9,} entries, {kind}, {number} of {count}"
        with progress.status(what) as status:
            measured.append(measure(mongod, case, say=_onto(status, what)))
        progress.print(f"{what}: {measured[-1].seconds:.2f} s", highlight=False)
    return Rounds(case=case, measured=measured)


def _onto(status: Status, what: str) -> Callable[[str], None]:
    return lambda step: status.update(f"{what}: {step}")


def _doc(options: argparse.Namespace, found: Sequence[Rounds]) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "drive": {
            "answerSeconds": {
                name: seconds * options.slower for name, seconds in drive.ANSWER_SECONDS.items()
            },
            "uploadBytesPerSecond": drive.UPLOAD_BYTES_PER_SECOND / options.slower,
        },
        "cases": [rounds.to_doc() for rounds in found],
    }


def _assumed(slower: float) -> str:
    return (
        f"Drive is assumed to take {drive.READ_SECONDS * slower:.2f} s for an answer, "
        f"{drive.CHANGE_SECONDS * slower:.2f} s for a change, "
        f"{drive.CREATE_SECONDS * slower:.2f} s for a new file, and "
        f"{drive.UPLOAD_BYTES_PER_SECOND / slower / 1e6:.1f} MB/s; see docs/capacity.md"
    )


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return number


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must read NAME=VALUE, not {text!r}")
    return name, value


if __name__ == "__main__":
    main()
