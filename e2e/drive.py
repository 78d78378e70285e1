"""Questions to a real folder in a real shared drive, asked through Daybook's own client.

Each leaves files behind that are not needed: a Contributor cannot delete. They are called
`daybook-e2e-…`, and their links are printed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import requests

from daybook.destinations.base import Held, NewFile
from daybook.destinations.drive.drive import DriveDestination
from daybook.errors import DestinationError, IdInvalid, IdTaken, UncertainResponse
from e2e.finding import Finding, Verdict

CHUNK_BYTES = 256 * 1024
_AGREES, _EITHER = Verdict.AS_ASSUMED, Verdict.HARMLESS
_OTHERWISE, _UNSETTLED = Verdict.OTHERWISE, Verdict.UNSETTLED


@dataclass(frozen=True, kw_only=True)
class DriveProbe:
    """One folder. `again` builds a second client, as another process would have it."""

    destination: DriveDestination
    again: Callable[[], DriveDestination]
    token: str = field(default_factory=lambda: secrets.token_hex(4))

    def findings(self) -> Iterator[Finding]:
        """All questions, one after the other; one that fails does not keep the others from it."""
        for question, ask in (
            (
                "Does the folder lie in a shared drive, and may this account add files?",
                self._folder,
            ),
            ("Is a second file under an id refused, when it comes in one request?", self._twice),
            ("Is a used id refused when a resumable upload begins, or when it ends?", self._stage),
            ("Two uploads under one id, begun before any file was there: one file?", self._race),
            ("Is sha256Checksum there, in a shared drive, at once?", self._digests),
            (
                "Does the answer describe the file, note and appProperties included, "
                "and can a note be added later?",
                self._notes,
            ),
            ("Can another process go on with an upload session?", self._other_process),
            ("Does a session's address work without any credentials?", self._address),
            ("Is an id refused that was never issued?", self._made_up),
        ):
            try:
                verdict, answer = ask()
            except DestinationError as error:
                verdict, answer = _UNSETTLED, f"{type(error).__name__}: {error}"
            yield Finding(question=question, verdict=verdict, answer=answer)

    def _folder(self) -> tuple[Verdict, str]:
        found = self.destination.check()
        wrong = [each.detail for each in found if not each.ok]
        if wrong:
            return _OTHERWISE, "; ".join(wrong)
        return _AGREES, "; ".join(each.detail for each in found)

    def _twice(self) -> tuple[Verdict, str]:
        file = self._new("twice")
        self.destination.send_whole(file, b"first")
        try:
            self.destination.send_whole(file, b"second")
        except IdTaken as error:
            return _AGREES, f"{error} ({self._link(file)})"
        return _OTHERWISE, f"the second request was taken as well: {self._link(file)}"

    def _stage(self) -> tuple[Verdict, str]:
        file = self._new("stage")
        self.destination.send_whole(file, b"first")
        try:
            session = self.destination.open_session(file)
        except IdTaken as error:
            return _EITHER, f"when it begins: {error}"
        try:
            self.destination.send_chunk(session, b"second", offset=0, last=True)
        except IdTaken as error:
            return _EITHER, f"when it ends: {error}"
        return _OTHERWISE, f"not at all: {self._link(file)}"

    def _race(self) -> tuple[Verdict, str]:
        file = self._new("race")
        sessions = [self.destination.open_session(file) for _ in range(2)]
        self.destination.send_chunk(sessions[0], b"first", offset=0, last=True)
        refused = "the second was taken as well"
        try:
            self.destination.send_chunk(sessions[1], b"other", offset=0, last=True)
        except IdTaken as error:
            refused = f"the second was refused when it ended: {error}"
        except UncertainResponse as error:
            refused = f"the second ended in doubt: {error}"
        found = self.destination.find_file(file.id)
        if found is None or found.md5 != _md5(b"first"):
            return _OTHERWISE, f"the file is not the first one any more; {refused}"
        if "as well" in refused:
            return _OTHERWISE, f"{refused}, and the file is still the first: {found.link}"
        return _AGREES, f"{refused} ({found.link})"

    def _digests(self) -> tuple[Verdict, str]:
        file, content = self._new("digests"), b"Entry ID\r\n"
        self.destination.send_whole(file, content)
        found = self.destination.find_file(file.id)
        if found is None:
            return _OTHERWISE, "files.get does not show a file that was just made"
        if found.md5 != _md5(content):
            return _OTHERWISE, f"md5Checksum is {found.md5}, sent were bytes with {_md5(content)}"
        if found.sha256 is None:
            return _EITHER, "no sha256Checksum; md5Checksum is right, and is what a run compares"
        if found.sha256 != hashlib.sha256(content).hexdigest():
            return _OTHERWISE, f"sha256Checksum {found.sha256} is not that of the bytes sent"
        return _AGREES, f"both digests are right ({found.link})"

    def _notes(self) -> tuple[Verdict, str]:
        file = replace(self._new("notes"), description="a note from the start")
        told = self.destination.send_whole(file, b"x")
        found = self.destination.find_file(file.id)
        if found is None or dict(found.properties) != dict(file.properties):
            return _OTHERWISE, f"sent {dict(file.properties)}, seen {found and found.properties}"
        self.destination.describe(file.id, "a note by e2e")
        if told != found or told.description != file.description:
            return _EITHER, f"the answer is {told}, the file {found}: each run looks it up"
        return _AGREES, f"both ({found.link})"

    def _other_process(self) -> tuple[Verdict, str]:
        file, content = self._new("other-process"), secrets.token_bytes(CHUNK_BYTES + 1000)
        session = self.destination.open_session(file)
        first = self.destination.send_chunk(session, content[:CHUNK_BYTES], offset=0, last=False)
        other = self.again()
        held = other.held(session)
        if held != first or held != Held(size_bytes=CHUNK_BYTES):
            return _OTHERWISE, f"sent {CHUNK_BYTES} bytes, the other process is told of {held}"
        last = other.send_chunk(session, content[CHUNK_BYTES:], offset=CHUNK_BYTES, last=True)
        found = other.find_file(file.id)
        if found is None or found.md5 != _md5(content):
            return _OTHERWISE, "the file is not what was sent by both"
        if last.file != found:
            return _EITHER, f"the last answer is {last.file}: each run looks the file up"
        return (
            _AGREES,
            f"{held.size_bytes} bytes were held, and the rest completed it: {found.link}",
        )

    def _address(self) -> tuple[Verdict, str]:
        session = self.destination.open_session(self._new("address"))
        answer = requests.put(
            session, headers={"Content-Range": "bytes */*"}, timeout=30, allow_redirects=False
        )
        if answer.status_code == 308:
            return _AGREES, "308: yes, so it is treated like a password"
        return _EITHER, f"{answer.status_code}: no; it is treated like a password all the same"

    def _made_up(self) -> tuple[Verdict, str]:
        file = self._new("made-up", file_id=f"1{secrets.token_urlsafe(24)}")
        try:
            self.destination.send_whole(file, b"x")
        except IdInvalid as error:
            return _AGREES, str(error)
        except DestinationError as error:
            return _OTHERWISE, f"refused, but not as an id that is not ours: {error}"
        return _OTHERWISE, f"a file was made under an id that nobody issued: {self._link(file)}"

    def _new(self, what: str, *, file_id: str | None = None) -> NewFile:
        return NewFile(
            id=file_id or self.destination.new_id(),
            name=f"daybook-e2e-{self.token}-{what}.csv",
            properties={"profile": "e2e", "fence": "1"},
        )

    def _link(self, file: NewFile) -> str:
        found = self.destination.find_file(file.id)
        return f"no file at {file.id}" if found is None else found.link


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
