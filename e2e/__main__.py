"""`python -m e2e`: ask the real thing. Runs nowhere without credentials, and says so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NoReturn
from zoneinfo import ZoneInfo

import click

from daybook.destinations.drive.drive import DriveDestination
from e2e import credentials
from e2e.cloud import CloudProbe, Deployment
from e2e.drive import DriveProbe
from e2e.finding import Exit, Finding, NotRun, Verdict, exit_of
from e2e.soak import evenings

_project = click.option("--project", help="The Google Cloud project's id.")
_region = click.option("--region", default="asia-southeast1", show_default=True)
_name = click.option("--name", default="daybook", show_default=True, help="The function's name.")


@click.group(
    invoke_without_command=True,
    epilog="Exit codes: 0 all as assumed, 1 something is otherwise, 2 wrong arguments, "
    "3 not run (no credentials, or an option is missing), 4 something could not be settled.",
)
@click.pass_context
def main(context: click.Context) -> None:
    """Settle on a real project and a real shared drive what no test on this machine can."""
    if context.invoked_subcommand is None:
        _not_run("say what to ask: `probe` or `soak`, with --project")


@main.command()
@_project
@_region
@_name
@click.option("--folder", help="A folder in the shared drive; files called daybook-e2e-… go there.")
def probe(project: str | None, region: str, name: str, folder: str | None) -> None:
    """Ask Drive, Cloud Run, Cloud Scheduler and Cloud Tasks what the code assumes of them."""
    if project is None or folder is None:
        _not_run("--project and --folder are needed")
    deployment = Deployment(project=project, region=region, name=name)
    client = partial(_drive, folder, account=f"{name}-run@{project}.iam.gserviceaccount.com")

    def asked() -> Iterator[Finding]:
        cloud = CloudProbe(deployment=deployment, session=credentials.cloud_session())
        drive = DriveProbe(destination=client(), again=client)
        yield from drive.findings()
        yield from cloud.findings()

    _report(asked)


@main.command()
@_project
@_region
@_name
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True)
@click.option("--time-zone", default="Asia/Bangkok", show_default=True)
def soak(project: str | None, region: str, name: str, days: int, time_zone: str) -> None:
    """Read from the log how the past days went, yesterday being the last."""
    if project is None:
        _not_run("--project is needed")
    deployment = Deployment(project=project, region=region, name=name)
    zone = ZoneInfo(time_zone)
    yesterday = datetime.now(UTC).astimezone(zone).date() - timedelta(days=1)

    def asked() -> Iterator[Finding]:
        cloud = CloudProbe(deployment=deployment, session=credentials.cloud_session())
        for evening in evenings(cloud, last=yesterday, days=days, zone=zone):
            yield evening.finding

    _report(asked)


def _drive(folder: str, *, account: str) -> DriveDestination:
    return DriveDestination(folder_id=folder, session=credentials.drive_session(account))


def _report(asked: Callable[[], Iterable[Finding]]) -> None:
    found = []
    try:
        for finding in asked():
            found.append(finding)
            click.echo(str(finding))
    except NotRun as error:
        _not_run(str(error))
    otherwise = sum(finding.verdict is Verdict.OTHERWISE for finding in found)
    unsettled = sum(finding.verdict is Verdict.UNSETTLED for finding in found)
    click.echo(f"{len(found)} asked, {otherwise} otherwise, {unsettled} unsettled.")
    sys.exit(exit_of(found))


def _not_run(reason: str) -> NoReturn:
    click.echo(f"e2e did not run: {reason}. Nothing was asked of anybody.", err=True)
    sys.exit(Exit.NOT_RUN)


if __name__ == "__main__":
    main(prog_name="python -m e2e")
