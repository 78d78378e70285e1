"""Writes the tables of Terraform's variables into the README beside each variables.tf.

    make docs                     writes them, to be committed
    python3 ops/tables.py --check exit code 1 when one is not what it would write, and which

The root hands objects such as `settings` to a module and leaves their defaults to it, so they
are taken from there. Variables are read as `terraform fmt` formats them. Only the standard
library.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BEGIN = "<!-- variables: written by `make docs` -->"
END = "<!-- end of variables -->"
REQUIRED = "required"


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """Of an object that is a variable's value."""

    type: str
    default: str


@dataclass(frozen=True, kw_only=True)
class Variable:
    """As a variables.tf declares it; the default is HCL on one line, or `required`."""

    name: str
    type: str
    default: str
    description: str
    attributes: dict[str, Attribute]


def variables(folder: Path) -> list[Variable]:
    """The variables of a Terraform folder in the order of its file."""
    text = (folder / "variables.tf").read_text(encoding="utf-8")
    found = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.M | re.S)
    return [_variable(folder, name, body) for name, body in found]


def table(folder: Path) -> str:
    """The Markdown table of a folder's variables, an object's attributes in rows of their own."""
    rows = ["| variable | type | default | what it is |", "|---|---|---|---|"]
    for variable in variables(folder):
        prefix = variable.name + (".KEY" if variable.type.startswith("map(") else "")
        cells = [_code(variable.name), _code(variable.type), _default(variable.default)]
        rows.append(_row(*cells, variable.description))
        for name, attribute in variable.attributes.items():
            meaning = _code(f"DAYBOOK_{name.upper()}") if variable.name == "settings" else ""
            cells = [_code(f"{prefix}.{name}"), _code(attribute.type), _default(attribute.default)]
            rows.append(_row(*cells, meaning))
    return "\n".join(rows)


def readmes(root: Path) -> Iterator[tuple[Path, str]]:
    """Each README with a table, and its text with the table as it should be.

    Raises `ValueError` for a folder whose README has no place for one.
    """
    for declared in sorted((root / "terraform").glob("**/variables.tf")):
        if ".terraform" in declared.parts:
            continue
        path = declared.parent / "README.md"
        text = path.read_text(encoding="utf-8")
        parts = re.fullmatch(rf"(.*{BEGIN}\n).*({END}\n.*)", text, re.S)
        if parts is None:
            raise ValueError(f"{path.relative_to(root)}: no lines {BEGIN} and {END}")
        yield path, f"{parts[1]}\n{table(declared.parent)}\n\n{parts[2]}"


def _variable(folder: Path, name: str, body: str) -> Variable:
    (description,) = re.findall(r'^  description = (".*")$', body, re.M)
    written = _argument(body, "type")
    if written is None:
        raise ValueError(f"{folder.name}: the variable {name} has no type")
    opening = re.match(r"(?:map\()?object\(\{", written)
    attributes = _attributes(written[opening.end() :]) if opening else {}
    default = _argument(body, "default") or REQUIRED
    module = _of_module(folder, name)
    if module is not None:
        attributes |= module.attributes
        default = module.default if default == "null" else default
    return Variable(
        name=name,
        type=_short(written),
        default=" ".join(default.split()),
        description=json.loads(description),
        attributes=attributes,
    )


def _argument(body: str, name: str) -> str | None:
    """An argument's expression, or None."""
    found = re.search(rf"^  {name} += ", body, re.M)
    return None if found is None else _expression(body[found.end() :], "\n")


def _expression(text: str, ends: str) -> str:
    """The text up to one of `ends` or a closing bracket, outside of brackets and quotes."""
    depth = 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[({\])}\n,]', text):
        token = match[0]
        if depth == 0 and token in [*ends, *"])}"]:
            return text[: match.start()]
        depth += (token in [*"[({"]) - (token in [*"])}"])
    return text


def _attributes(text: str) -> dict[str, Attribute]:
    """Of the inside of `object({ … })`."""
    found: dict[str, Attribute] = {}
    while named := re.match(r"[\s,]*(\w+) += ", text):
        text = text[named.end() :]
        written = _expression(text, "\n,")
        text = text[len(written) :]
        optional = re.fullmatch(r"optional\((.*)\)", written, re.S)
        type_ = _expression(optional[1], ",") if optional else written
        default = optional[1][len(type_) + 1 :].strip() or "null" if optional else REQUIRED
        found[named[1]] = Attribute(type=_short(type_), default=default)
    return found


def _of_module(folder: Path, name: str) -> Variable | None:
    """The module's variable that a root's variable is handed to under the same name."""
    main = folder / "main.tf"
    text = main.read_text(encoding="utf-8") if main.exists() else ""
    for source, body in re.findall(r'^  source = "([^"]+)"\n(.*?)^\}', text, re.M | re.S):
        if re.search(rf"^  {name} += var\.{name}$", body, re.M):
            return next(v for v in variables(folder / source) if v.name == name)
    return None


def _short(type_: str) -> str:
    """A type without the attributes of an object, which have rows of their own or none."""
    opening = type_.find("object({")
    return type_ if opening < 0 else type_[:opening] + "object" + ")" * type_[:opening].count("(")


def _default(written: str) -> str:
    return written if written == REQUIRED else _code(written)


def _code(text: str) -> str:
    return f"`{text}`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="look, and change nothing")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    try:
        stale = [(p, text) for p, text in readmes(root) if p.read_text(encoding="utf-8") != text]
    except ValueError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    for path, text in stale:
        if arguments.check:
            print(f"{path.relative_to(root)}: not what `make docs` writes", file=sys.stderr)  # noqa: T201
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
