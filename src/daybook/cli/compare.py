"""`compare`: a day against the file that another system made for it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import click

from daybook.cli.command import CommandResult, Exit, app_from_env, command
from daybook.cli.day import BEFORE_FILE, file_beside_date, takes_day
from daybook.cli.outcome import row
from daybook.display import number, visible

if TYPE_CHECKING:
    from daybook.audit.day_file import DayFile
    from daybook.audit.other_system import FileComparison

_SHOWN = 20
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SOURCES = {
    "delivered": "the file that Daybook has delivered",
    "planned": "what Daybook would deliver now",
    "recorded_elsewhere": "what Daybook would have delivered",
}


@command("compare", failed="the files differ")
@takes_day(argument=BEFORE_FILE)
@click.argument("file_argument", metavar="FILE", type=_FILE, required=False)
@click.option("--file", "file_option", type=_FILE, help="The same as FILE.")
@click.option("--profile", "profile_name", default="daily", show_default=True)
@click.option(
    "--columns",
    default="",
    help='Titles that are not the same: "Theirs=Ours,Theirs=Ours".',
)
@click.option("--key", help="Daybook's title of the column that names an entry.")
@click.option("--encoding", help="Of FILE. Default: UTF-8, or cp874 if it is not.")
@click.option("--delimiter", help="Of FILE. Default: what its header has most of.")
def compare(
    day: date,
    file_argument: Path | None,
    file_option: Path | None,
    profile_name: str,
    columns: str,
    key: str | None,
    encoding: str | None,
    delimiter: str | None,
) -> CommandResult:
    """Compare a day with another system's file, a CSV or xlsx with a header.

    Shows the entries that only one of the two has, and those that differ, in which column.
    Changes nothing.
    """
    from daybook.audit import day_file, other_system
    from daybook.audit.spool import Side, Spool
    from daybook.audit.table import DELIMITERS, read_table

    beside_date = file_beside_date()
    if beside_date is not None:
        if file_argument is not None:
            raise click.UsageError(f"Got unexpected extra argument ({file_argument})")
        file_argument = _FILE.convert(beside_date, None, click.get_current_context())
    file = file_argument or file_option
    if file is None:
        raise click.UsageError("Missing argument 'FILE', or --file")
    if delimiter is not None and delimiter not in DELIMITERS:
        raise click.UsageError(f"--delimiter: {delimiter!r} is not one of , ; TAB |")
    app = app_from_env()
    profile = app.profile(profile_name)
    with file.open("rb") as opened, TemporaryFile() as to, Spool() as spool:
        theirs = read_table(opened, where=file.name, encoding=encoding, delimiter=delimiter)
        ours = day_file.delivered(
            app.database, app.destination_of(profile_name), profile, day, to=to
        ) or day_file.planned(app.database, profile, day, to=to)
        made_with = profile if ours is None else ours.profile
        pairs = other_system.paired(made_with, theirs.titles, _named(columns))
        named_by = other_system.naming(pairs, key)
        other_system.keep(spool, Side.THEIRS, theirs.rows, named_by)
        if ours is None:
            ours = day_file.recorded_elsewhere(
                app.database, profile, day, named_by, spool.rows(Side.THEIRS), to=to
            )
        other_system.keep(spool, Side.OURS, ours.table.rows, named_by)
        found = other_system.compare_tables(
            *(made_with, pairs, named_by, spool),
            our_titles=ours.table.titles,
            their_titles=theirs.titles,
            reasons=ours.reasons,
        )
    return CommandResult(
        doc={
            "profile": profile_name,
            "batchDate": day.isoformat(),
            "origin": ours.origin.value,
            **found.to_doc(),
        },
        lines=_lines(found, ours, file.name),
        code=Exit.OK if found.same else Exit.FAILED,
    )


def _named(columns: str) -> dict[str, str]:
    """Titles of theirs → titles of ours."""
    named = {}
    for pair in filter(None, (part.strip() for part in columns.split(","))):
        theirs, equals, ours = pair.partition("=")
        if not (equals and theirs.strip() and ours.strip()):
            raise click.UsageError(f'--columns: {pair!r} is not "Theirs=Ours"')
        named[theirs.strip()] = ours.strip()
    return named


def _lines(found: FileComparison, ours: DayFile, name: str) -> list[str]:
    lines = [
        f"{name} and {_SOURCES[ours.origin.value]}: "
        + (
            f"{number(found.our_entries, 'entry', 'entries')}, all the same."
            if found.same
            else f"{number(found.our_entries, 'entry', 'entries')} in Daybook's, "
            f"in theirs {found.their_entries:,}."
        ),
        row("columns", ", ".join(mine for mine, _ in found.compared)),
    ]
    if found.our_other_titles or found.their_other_titles:
        left = [
            *found.our_other_titles,
            *(f"{title} (theirs)" for title in found.their_other_titles),
        ]
        lines.append(row("left out", ", ".join(map(visible, left))))
    lines += _listed("only ours", list(map(visible, found.only_ours)))
    lines += _listed(
        "only theirs",
        [
            visible(entry + (f": {found.reasons[entry]}" if entry in found.reasons else ""))
            for entry in found.only_theirs
        ],
    )
    for one in found.differing[:_SHOWN]:
        cells = [
            f"row {cell.row}, {cell.column}: {cell.ours!r}, theirs {cell.theirs!r}"
            for cell in one.cells
        ]
        if one.our_rows != one.their_rows:
            cells.append(f"{number(one.our_rows, 'row')} of Daybook's, of theirs {one.their_rows}")
        lines.append(row("differs", visible(f"{one.entry}: {'; '.join(cells)}")))
    if len(found.differing) > _SHOWN:
        lines.append(row("", f"and {len(found.differing) - _SHOWN} more (--json lists them)"))
    return lines


def _listed(label: str, entries: list[str]) -> list[str]:
    lines = [row(label, entry) for entry in entries[:_SHOWN]]
    if len(entries) > _SHOWN:
        lines.append(row("", f"and {len(entries) - _SHOWN} more (--json lists them)"))
    return lines
