"""What every destination promises, whatever is behind it (see `destinations/base.py`)."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from daybook.destinations.base import Destination, Held, NewFile
from daybook.errors import DestinationRefused, IdInvalid, IdTaken, SessionExpired
from tests.contract.places import Place

NAME = "batch_2026-01-18.csv"
CONTENT = b"Entry ID,Line\r\n1,1\r\n"
OTHER = b"other content"


def new_file(destination: Destination, **changes: object) -> NewFile:
    file = NewFile(
        id=destination.new_id(),
        name=NAME,
        properties={"profile": "daily", "batchDate": "2026-01-18", "note": "ไทย \"x\", '\\'"},
    )
    return replace(file, **changes)


def chunks_of(destination: Destination) -> list[bytes]:
    """Two whole chunks and an odd last one."""
    whole = destination.chunk_multiple_bytes
    return [b"a" * whole, b"b" * whole, b"c" * 7]


def send_all(destination: Destination, session: str, chunks: list[bytes]) -> Held:
    offset = 0
    for number, chunk in enumerate(chunks, start=1):
        held = destination.send_chunk(session, chunk, offset=offset, last=number == len(chunks))
        offset += len(chunk)
        assert held.size_bytes == offset
    return held


def assert_stands(destination: Destination, file: NewFile, content: bytes) -> None:
    found = destination.find_file(file.id)
    assert found is not None
    assert found.id == file.id
    assert found.name == file.name
    assert found.size_bytes == len(content)
    assert found.md5 == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert found.sha256 in (None, hashlib.sha256(content).hexdigest())
    assert found.properties == file.properties
    assert found.link


def test_every_id_is_new(destination: Destination) -> None:
    assert len({destination.new_id() for _ in range(5)}) == 5


def test_identity_is_the_same_in_every_process(place: Place) -> None:
    assert place.destination().identity == place.destination().identity != ""


@pytest.mark.parametrize(
    ("place", "kind"),
    [("drive", "google_drive"), ("local", "local_folder"), ("s3", "s3")],
    indirect=["place"],
)
def test_kind_is_the_word_that_metrics_carry(destination: Destination, kind: str) -> None:
    assert destination.kind == kind


def test_file_shows_before_publishing_only_where_it_is_said_so(
    place: Place, destination: Destination
) -> None:
    destination.send_whole(new_file(destination), CONTENT)
    assert (place.visible() == {}) == destination.publishes


def test_nothing_is_found_under_an_unused_id(destination: Destination) -> None:
    assert destination.find_file(destination.new_id()) is None


def test_file_sent_whole_is_reported_with_its_properties(destination: Destination) -> None:
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    assert_stands(destination, file, CONTENT)


def test_response_that_describes_the_new_file_says_what_the_destination_holds(
    destination: Destination,
) -> None:
    """Drive's always does; where it does not, the file is looked up."""
    whole, chunked = new_file(destination), new_file(destination)
    in_chunks = send_all(destination, destination.open_session(chunked), chunks_of(destination))
    told = {whole.id: destination.send_whole(whole, CONTENT), chunked.id: in_chunks.file}
    for file_id, file in told.items():
        assert file in (None, destination.find_file(file_id))
        assert file or destination.kind != "google_drive"


def test_second_whole_file_under_an_id_is_refused(destination: Destination) -> None:
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    with pytest.raises(IdTaken):
        destination.send_whole(file, OTHER)
    assert_stands(destination, file, CONTENT)


def test_id_that_was_never_issued_is_refused(destination: Destination) -> None:
    file = new_file(destination, id="../../outside")
    with pytest.raises(IdInvalid):
        destination.send_whole(file, CONTENT)
    with pytest.raises(IdInvalid):
        destination.open_session(file)


@pytest.mark.parametrize("tail", [b"", b"tail"])
def test_chunks_make_one_file_with_the_last(destination: Destination, tail: bytes) -> None:
    file = new_file(destination)
    chunks = [b"a" * destination.chunk_multiple_bytes, b"b" * destination.chunk_multiple_bytes]
    chunks += [tail] if tail else []
    session = destination.open_session(file)
    held = send_all(destination, session, chunks)
    assert held.complete
    assert_stands(destination, file, b"".join(chunks))


def test_chunks_may_hold_several_multiples(destination: Destination) -> None:
    file = new_file(destination)
    content = bytes(range(256)) * (destination.chunk_multiple_bytes * 3 // 256 + 1)
    cut = 2 * destination.chunk_multiple_bytes
    send_all(destination, destination.open_session(file), [content[:cut], content[cut:]])
    assert_stands(destination, file, content)


def test_file_of_one_byte(destination: Destination) -> None:
    whole, chunked = new_file(destination), new_file(destination)
    destination.send_whole(whole, b"x")
    send_all(destination, destination.open_session(chunked), [b"x"])
    assert_stands(destination, whole, b"x")
    assert_stands(destination, chunked, b"x")


def test_nothing_is_visible_before_the_last_chunk(place: Place, destination: Destination) -> None:
    file = new_file(destination)
    session = destination.open_session(file)
    held = destination.send_chunk(session, chunks_of(destination)[0], offset=0, last=False)
    assert not held.complete
    assert destination.find_file(file.id) is None
    assert place.visible() == {}


def test_another_process_goes_on_with_what_is_held(place: Place) -> None:
    first, second = place.destination(), place.destination()
    file = new_file(first)
    chunks = chunks_of(first)
    session = first.open_session(file)
    assert first.held(session) == Held(size_bytes=0)
    first.send_chunk(session, chunks[0], offset=0, last=False)
    held = second.held(session)
    assert held == Held(size_bytes=len(chunks[0]))
    second.send_chunk(session, chunks[1], offset=held.size_bytes, last=False)
    second.send_chunk(session, chunks[2], offset=held.size_bytes + len(chunks[1]), last=True)
    assert_stands(second, file, b"".join(chunks))


def test_asking_what_is_held_never_completes_the_file(destination: Destination) -> None:
    file = new_file(destination)
    session = destination.open_session(file)
    content = b"a" * destination.chunk_multiple_bytes
    destination.send_chunk(session, content, offset=0, last=False)
    assert destination.held(session) == Held(size_bytes=len(content))
    assert destination.find_file(file.id) is None


def test_a_session_that_holds_all_bytes_is_finished_without_sending_any(
    place: Place, destination: Destination
) -> None:
    file = new_file(destination)
    session = destination.open_session(file)
    content = b"a" * destination.chunk_multiple_bytes
    destination.send_chunk(session, content, offset=0, last=False)

    held = place.destination().finish(session, len(content))
    assert (held.size_bytes, held.complete) == (len(content), True)

    assert_stands(destination, file, content)


def test_a_session_that_holds_fewer_bytes_is_not_finished(destination: Destination) -> None:
    file = new_file(destination)
    session = destination.open_session(file)
    content = b"a" * destination.chunk_multiple_bytes
    destination.send_chunk(session, content, offset=0, last=False)

    held = destination.finish(session, len(content) + 1)

    assert held == Held(size_bytes=len(content))
    assert destination.find_file(file.id) is None


def test_finishing_under_an_id_that_is_taken_is_refused(destination: Destination) -> None:
    file = new_file(destination)
    session = destination.open_session(file)
    content = b"a" * destination.chunk_multiple_bytes
    destination.send_chunk(session, content, offset=0, last=False)
    destination.send_whole(file, OTHER)
    with pytest.raises(IdTaken):
        destination.finish(session, len(content))
    assert_stands(destination, file, OTHER)


def test_chunk_sent_twice_counts_once(destination: Destination) -> None:
    file = new_file(destination)
    chunks = chunks_of(destination)
    session = destination.open_session(file)
    destination.send_chunk(session, chunks[0], offset=0, last=False)
    send_all(destination, session, chunks)
    assert_stands(destination, file, b"".join(chunks))


def test_of_two_sessions_under_one_id_the_second_to_complete_is_refused(place: Place) -> None:
    first, second = place.destination(), place.destination()
    file = new_file(first)
    late = replace(file, properties={"fence": "old"})
    session, late_session = first.open_session(file), second.open_session(late)
    second.send_chunk(late_session, b"z" * second.chunk_multiple_bytes, offset=0, last=False)
    first.send_chunk(session, CONTENT, offset=0, last=True)
    with pytest.raises(IdTaken):
        second.send_chunk(late_session, OTHER, offset=second.chunk_multiple_bytes, last=True)
    assert_stands(first, file, CONTENT)


def test_session_is_refused_when_a_whole_file_came_first(destination: Destination) -> None:
    file = new_file(destination)
    session = destination.open_session(file)
    destination.send_whole(file, CONTENT)
    with pytest.raises(IdTaken):
        destination.send_chunk(session, OTHER, offset=0, last=True)
    assert_stands(destination, file, CONTENT)


def test_session_that_is_gone_is_named_so(place: Place, destination: Destination) -> None:
    session = destination.open_session(new_file(destination))
    place.lose(session)
    with pytest.raises(SessionExpired):
        destination.held(session)
    with pytest.raises(SessionExpired):
        destination.finish(session, len(CONTENT))
    with pytest.raises(SessionExpired):
        destination.send_chunk(session, CONTENT, offset=0, last=True)


@pytest.mark.parametrize("session", ["", "nonsense", "../outside", ":", "/etc/passwd"])
def test_session_of_another_kind_is_gone(destination: Destination, session: str) -> None:
    with pytest.raises(SessionExpired):
        destination.held(session)
    with pytest.raises(SessionExpired):
        destination.finish(session, len(CONTENT))
    with pytest.raises(SessionExpired):
        destination.send_chunk(session, CONTENT, offset=0, last=True)


def test_completed_session_never_offers_to_go_on(destination: Destination) -> None:
    session = destination.open_session(new_file(destination))
    destination.send_chunk(session, CONTENT, offset=0, last=True)
    with contextlib.suppress(SessionExpired):  # a destination may forget it
        held = destination.held(session)
        assert (held.size_bytes, held.complete) == (len(CONTENT), True)


def test_published_file_is_read_back_under_its_name(place: Place, destination: Destination) -> None:
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    link = destination.publish(file.id, NAME)
    assert link
    assert place.visible() == {NAME: CONTENT}
    assert b"".join(destination.read(file.id, NAME)) == CONTENT


def test_large_file_is_read_back_in_pieces(destination: Destination) -> None:
    file = new_file(destination)
    content = bytes(range(251)) * 40_000  # 10 MB, of no round length
    send_all(destination, destination.open_session(file), [content])
    destination.publish(file.id, NAME)
    pieces = list(destination.read(file.id, NAME))
    assert b"".join(pieces) == content
    assert len(pieces) > 1


def test_publishing_again_changes_nothing(place: Place, destination: Destination) -> None:
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    link = destination.publish(file.id, NAME)
    assert place.destination().publish(file.id, NAME) == link
    assert place.visible() == {NAME: CONTENT}


def test_publishing_what_is_not_there_is_refused(place: Place, destination: Destination) -> None:
    """Where there are other files of Daybook's, so that the place is the right one."""
    destination.send_whole(new_file(destination), OTHER)
    before = place.visible()
    with pytest.raises(DestinationRefused, match=NAME):
        destination.publish(destination.new_id(), NAME)
    assert place.visible() == before


def test_late_sender_is_refused_after_publishing(place: Place) -> None:
    first, late = place.destination(), place.destination()
    file = new_file(first)
    session = late.open_session(file)
    first.send_whole(file, CONTENT)
    first.publish(file.id, NAME)
    with pytest.raises(IdTaken):
        late.send_whole(file, OTHER)
    with pytest.raises(IdTaken):
        late.send_chunk(session, OTHER, offset=0, last=True)
    first.publish(file.id, NAME)
    assert place.visible() == {NAME: CONTENT}


def test_metadata_of_a_published_file_are_those_of_its_content_now(
    place: Place, destination: Destination
) -> None:
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    destination.publish(file.id, NAME)
    for content in (CONTENT, OTHER):
        found = destination.metadata(file.id, NAME)
        assert found is not None
        assert (found.name, found.size_bytes, found.trashed) == (NAME, len(content), False)
        assert found.md5 in (None, hashlib.md5(content, usedforsecurity=False).hexdigest())
        assert found.sha256 in (None, hashlib.sha256(content).hexdigest())
        assert found.md5 or found.version
        place.edit(file.id, NAME, OTHER)
    place.remove(file.id, NAME)
    assert destination.metadata(file.id, NAME) is None


def test_a_version_changes_with_the_content_and_only_with_it(
    place: Place, destination: Destination
) -> None:
    def version() -> str | None:
        found = place.destination().metadata(file.id, NAME)
        assert found is not None
        return found.version

    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    destination.publish(file.id, NAME)
    delivered = version()
    b"".join(destination.read(file.id, NAME))
    destination.publish(file.id, NAME)
    assert version() == delivered
    place.edit(file.id, NAME, bytes(len(CONTENT)))
    assert delivered is None or version() not in (None, delivered)


def test_note_leaves_the_file_as_it_is(destination: Destination) -> None:
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    destination.describe(file.id, "debit 1.00 = credit 1.00")
    assert_stands(destination, file, CONTENT)


def test_healthy_place_passes_the_check(place: Place, destination: Destination) -> None:
    findings = destination.check()
    assert findings
    assert all(finding.ok for finding in findings), findings
    assert place.visible() == {}


def race(senders: list[Callable[[], object]]) -> list[BaseException | None]:
    """Run all at the same time; what each raised, or None."""
    start = threading.Barrier(len(senders))
    outcomes: list[BaseException | None] = [None] * len(senders)

    def run(number: int, sender: Callable[[], object]) -> None:
        start.wait()
        try:
            sender()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.parametrize("attempt", range(3))
def test_of_racing_senders_exactly_one_wins(place: Place, attempt: int) -> None:
    issuer = place.destination()
    file = new_file(issuer)
    contents = [bytes([65 + number]) * 1000 for number in range(6)]

    def sender(number: int) -> Callable[[], object]:
        mine, content = place.destination(), contents[number]
        if number % 2:
            return lambda: mine.send_whole(file, content)
        session = mine.open_session(file)
        return lambda: mine.send_chunk(session, content, offset=0, last=True)

    outcomes = race([sender(number) for number in range(len(contents))])
    winners = [number for number, error in enumerate(outcomes) if error is None]
    assert len(winners) == 1, outcomes
    assert all(error is None or isinstance(error, IdTaken) for error in outcomes), outcomes
    assert_stands(issuer, file, contents[winners[0]])


def test_racing_publishers_make_one_file(place: Place) -> None:
    destination = place.destination()
    file = new_file(destination)
    destination.send_whole(file, CONTENT)
    publishers = [place.destination() for _ in range(4)]
    race([lambda one=one: one.publish(file.id, NAME) for one in publishers])
    destination.publish(file.id, NAME)
    assert place.visible() == {NAME: CONTENT}


@pytest.mark.parametrize("place", ["local", "s3"], indirect=True)
class TestPlacesWithPaths:
    """A folder and a bucket find a file by its name."""

    def test_file_shows_only_once_it_is_published(
        self, place: Place, destination: Destination
    ) -> None:
        file = new_file(destination)
        destination.send_whole(file, CONTENT)
        assert place.visible() == {}
        destination.publish(file.id, NAME)
        assert place.visible() == {NAME: CONTENT}
        assert destination.find_file(file.id) is None

    def test_publishing_never_overwrites(self, place: Place, destination: Destination) -> None:
        first, second = new_file(destination), new_file(destination)
        destination.send_whole(first, CONTENT)
        destination.send_whole(second, OTHER)
        destination.publish(first.id, NAME)
        with pytest.raises(DestinationRefused, match=NAME):
            destination.publish(second.id, NAME)
        assert place.visible() == {NAME: CONTENT}
        assert_stands(destination, second, OTHER)

    def test_taken_name_is_refused_beforehand(self, destination: Destination) -> None:
        file = new_file(destination)
        destination.check_name(NAME)
        destination.send_whole(file, CONTENT)
        destination.publish(file.id, NAME)
        with pytest.raises(DestinationRefused, match=NAME):
            destination.check_name(NAME)

    @pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a\0b"])
    def test_name_that_leaves_the_folder_is_refused(
        self, place: Place, destination: Destination, name: str
    ) -> None:
        file = new_file(destination)
        destination.send_whole(file, CONTENT)
        for act in (
            lambda: destination.check_name(name),
            lambda: destination.send_whole(new_file(destination, name=name), CONTENT),
            lambda: destination.open_session(new_file(destination, name=name)),
            lambda: destination.publish(file.id, name),
            lambda: next(destination.read(file.id, name)),
        ):
            with pytest.raises(DestinationRefused, match="file name"):
                act()
        assert place.visible() == {}

    def test_chunk_beyond_what_is_held_is_not_taken(self, destination: Destination) -> None:
        file = new_file(destination)
        session = destination.open_session(file)
        step = destination.chunk_multiple_bytes
        destination.send_chunk(session, b"a" * step, offset=0, last=False)
        held = destination.send_chunk(session, b"c" * step, offset=2 * step, last=True)
        assert held == Held(size_bytes=step)
        assert destination.find_file(file.id) is None

    def test_missing_file_is_refused_on_reading(self, destination: Destination) -> None:
        with pytest.raises(DestinationRefused, match=NAME):
            next(destination.read(destination.new_id(), NAME))
