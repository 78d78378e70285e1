"""One meaning per word: in docs/glossary.md, whose terms are used elsewhere, and in class names."""

from __future__ import annotations

import ast
import re
from collections import Counter

from tests import pages

NAME = "glossary.md"
PAGE = pages.text_of(NAME)
TERMS = [row[0] for rows in pages.tables(PAGE) for row in rows[1:]]


def everything_else() -> str:
    """The other documents and the source, in lower case, with underscores as spaces."""
    documents = [*pages.DOCS.rglob("*.md"), pages.ROOT / "README.md"]
    paths = [path for path in documents if path.name != NAME] + pages.SOURCES
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return re.sub(r"[\s_]+", " ", text).lower()


def test_no_term_is_defined_twice() -> None:
    assert len(TERMS) > 40
    assert [term for term, count in Counter(TERMS).items() if count > 1] == []


def test_every_term_is_used_elsewhere() -> None:
    text = everything_else()
    assert [term for term in TERMS if not re.search(rf"\b{re.escape(term.lower())}", text)] == []


def test_the_readme_and_the_architecture_lead_to_the_glossary() -> None:
    assert f"(docs/{NAME})" in (pages.ROOT / "README.md").read_text(encoding="utf-8")
    assert f"({NAME})" in pages.text_of("architecture.md")


def test_no_two_public_classes_share_a_name() -> None:
    defined = Counter(
        node.name
        for path in pages.SOURCES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert len(defined) > 200
    assert [name for name, count in defined.items() if count > 1] == []
