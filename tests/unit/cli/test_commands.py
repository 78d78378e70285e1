"""What all commands share: help, exit codes, days, and the names of what was typed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from daybook.cli.command import OPTIONS, Exit
from daybook.cli.day import takes_day
from daybook.cli.main import main
from tests import pages

SOURCE = pages.ROOT / "src" / "daybook"
NAMES = sorted(main.commands)
OF_A_DAY = {"audit", "compare", "plan", "receipt", "release", "retry", "run", "status", "verify"}


def typed(command: str) -> set[str]:
    """What can be typed for the parameters of a command."""
    params = main.commands[command].params
    return {
        *(option for param in params for option in param.opts),
        *(param.metavar or "" for param in params if isinstance(param, click.Argument)),
    }


def helped(*command: str) -> str:
    answered = CliRunner().invoke(main, [*command, "--help"], terminal_width=100)
    assert answered.exit_code == 0
    return answered.output


@pytest.mark.parametrize("name", NAMES)
def test_every_help_states_the_exit_codes(name: str) -> None:
    said = " ".join(helped(name).split())
    body, _, codes = said.rpartition("Exit codes: ")
    meant = dict(re.findall(r"(?:^|; )(\d+) ([^;]+(?:; [^\d;][^;]*)*)", codes.removesuffix(".")))
    needed = {Exit.OK, Exit.FAILED, Exit.USAGE, Exit.CONFIGURATION, Exit.BROKEN_OFF}
    assert needed <= {Exit(int(code)) for code in meant}
    assert all(len(text) > 8 for text in meant.values())
    assert not re.search(r"(?i)exit code", body)


@pytest.mark.parametrize("name", NAMES)
def test_no_path_and_no_option_is_broken_between_two_lines_of_a_help(name: str) -> None:
    """What is pasted into a shell; click wraps at hyphens too."""
    text = main.commands[name].help or ""
    pasted = {word for word in text.split() if "/" in word or word.startswith("--")}
    answered = CliRunner().invoke(main, [name, "--help"], terminal_width=80)
    assert pasted <= set(answered.output.split())


def test_the_help_of_all_commands_states_the_exit_codes() -> None:
    said = " ".join(helped().split())
    assert all(re.search(rf"\b{code.value} ", said) for code in Exit)


def test_every_command_that_takes_a_day_takes_it_as_argument_and_as_option() -> None:
    for name, command in main.commands.items():
        names = {param.name for param in command.params}
        assert ({"day_argument", "day_option"} <= names) is (name in OF_A_DAY), name
        assert not names & {"day", "date", "batch_date"}, name


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["2026-01-18"], 0, "2026-01-18"),
        (["--date", "2026-01-18"], 0, "2026-01-18"),
        (["--batch-date", "2026-01-18"], 0, "2026-01-18"),
        (["2026-01-18", "--date", "2026-01-18"], 0, "2026-01-18"),
        (["2026-01-18", "--date", "2026-01-19"], 2, "--date: 2026-01-19 is not DATE, 2026-01-18"),
        ([], 2, "Missing argument 'DATE', or --date"),
        (["--date", "18.01.2026"], 2, "'18.01.2026' is not a date like 2026-01-18"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_day_is_typed_in_either_way(arguments: list[str], code: int, said: str) -> None:
    @click.command()
    @takes_day()
    def command(day: date) -> None:
        click.echo(day)

    answered = CliRunner().invoke(command, arguments)
    assert (answered.exit_code, said in answered.output) == (code, True), answered.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["2026-01-18", "{}"], None),
        (["2026-01-18", "--file", "{}"], None),
        (["--date", "2026-01-18", "{}"], None),
        (["{}", "--date", "2026-01-18"], None),
        (["--date", "2026-01-18", "--file", "{}"], None),
        (["2026-01-18", "{}", "--date", "2026-01-18"], None),
        (["--batch-date", "2026-01-18", "{}"], None),
        (["{}"], "is not a date like 2026-01-18"),
        (["--date", "2026-01-18"], "Missing argument 'FILE', or --file"),
        (["--date", "2026-01-18", "{}", "{}"], "unexpected extra argument"),
        (["--date", "2026-01-18", "no such file"], "does not exist"),
        (["2026-01-19", "{}", "--date", "2026-01-18"], "--date: 2026-01-18 is not DATE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_day_and_a_file_are_typed_in_any_mixture(
    tmp_path: Path, arguments: list[str], said: str | None
) -> None:
    file = tmp_path / "theirs.csv"
    file.write_text("a,b\r\n")
    typed_words = [word.format(file) for word in arguments]
    answered = CliRunner().invoke(main, ["compare", *typed_words], env={"DAYBOOK_DATABASE": "x"})
    if said is None:
        assert answered.exit_code != 2 or "DAYBOOK_" in answered.output, answered.output
        assert "is not a date" not in answered.output
        assert "Missing argument" not in answered.output
    else:
        assert (answered.exit_code, said in answered.output) == (2, True), answered.output


def refusals() -> Iterator[tuple[str, str, str]]:
    """File, field and message of each `BadRequest` that a command may meet."""
    for path in sorted(SOURCE.rglob("*.py")):
        folder = path.relative_to(SOURCE).parts[0]
        if folder in {"http", "wallets"}:
            continue  # the ledger has no commands that move money
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defaults = defaults_by_line(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and "BadRequest" in ast.unparse(node.func):
                where = next(
                    (ast.unparse(one.value) for one in node.keywords if one.arg == "where"), ""
                )
                where = defaults.get((node.lineno, where), where)
                yield path.name, where, " ".join(map(ast.unparse, node.args))


def defaults_by_line(tree: ast.Module) -> dict[tuple[int, str], str]:
    """Line and keyword-only parameter of the function around it → the parameter's default."""
    return {
        (line, parameter.arg): ast.unparse(default)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for parameter, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        if default is not None
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def test_every_refused_value_is_named_as_it_is_typed() -> None:
    fields = {
        match[1]
        for _, where, _ in refusals()
        if (match := re.match(r"f?['\"]([\w-]+)", where)) is not None
    }
    assert fields >= {"batchDate", "entryIds", "from", "profile"}
    can_be_typed = set().union(*map(typed, NAMES))
    for field in fields - {"at", "lines"}:  # which `seed` does not take
        assert field in OPTIONS, field
    for option in OPTIONS.values():
        assert option in can_be_typed, option


def test_no_refusal_names_a_field_of_http_in_its_text() -> None:
    for file, _, message in refusals():
        assert not re.search(r"\b(batchDate|entryIds?|Idempotency-Key|dryRun|POST)\b", message), (
            file,
            message,
        )


def test_commands_show_times_as_people_read_them() -> None:
    """`display.moment` is local and names its zone; in JSON times stay in ISO 8601."""
    for path in sorted((SOURCE / "cli").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert 'timespec="seconds"' not in text, path.name
        times = re.sub(r"datetime\.now\(UTC\):%[^}]+", "", text)  # in the name of a folder
        assert not re.search(r":%[YH]", times), path.name


def test_only_details_name_fences_and_seals() -> None:
    """In the words of commands; where `--verbose` is asked for, the text follows it."""
    for path in sorted((SOURCE / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            said = [
                one.value
                for one in ast.walk(node)
                if isinstance(one, ast.Constant)
                and isinstance(one.value, str)
                and one.value != ast.get_docstring(node, clean=False)
            ]
            if any(re.search(r"(?i)\b(fence|seal|sealed|seals)\b", text) for text in said):
                assert "asks_for_details()" in ast.unparse(node), (path.name, node.name)
