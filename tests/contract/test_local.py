"""A folder as a destination: what is left after a crash, and what the machine may refuse."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from daybook.destinations.base import NewFile
from daybook.destinations.local import LocalDestination, translated
from daybook.errors import (
    DestinationError,
    DestinationRefused,
    IdTaken,
    SessionExpired,
    UncertainResponse,
)

NAME = "batch_2026-01-18.csv"
CONTENT = b"Entry ID,Line\r\n"
PASSING = [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EMFILE, errno.ENODEV]
FILE = NewFile(id="a" * 32, name=NAME, properties={"profile": "daily"})


@pytest.fixture
def folder(tmp_path: Path) -> LocalDestination:
    return LocalDestination(tmp_path)


def content_of(tmp_path: Path) -> Path:
    return tmp_path / f".daybook-{FILE.id}" / "content"


def test_root_address_is_the_identity(tmp_path: Path) -> None:
    assert LocalDestination(tmp_path).identity == tmp_path.as_uri()


def test_link_opens_the_published_file(folder: LocalDestination, tmp_path: Path) -> None:
    folder.send_whole(FILE, CONTENT)
    found = folder.find_file(FILE.id)
    assert found is not None
    assert found.link == folder.publish(FILE.id, NAME) == (tmp_path / NAME).as_uri()


@pytest.mark.parametrize("mount_point_is_left", [True, False])
def test_publishing_waits_for_a_folder_whose_disk_is_not_mounted(
    folder: LocalDestination, tmp_path: Path, mount_point_is_left: bool
) -> None:
    folder.send_whole(FILE, CONTENT)
    unmounted = tmp_path.with_name("unmounted")
    tmp_path.rename(unmounted)
    if mount_point_is_left:
        tmp_path.mkdir()

    with pytest.raises(DestinationError, match=f"{tmp_path} .*mount") as waits:
        folder.publish(FILE.id, NAME)

    assert not waits.value.permanent
    if mount_point_is_left:
        tmp_path.rmdir()
    unmounted.rename(tmp_path)
    folder.publish(FILE.id, NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_hidden_folder_that_was_deleted_is_named(
    folder: LocalDestination, tmp_path: Path
) -> None:
    folder.send_whole(replace(FILE, id="b" * 32), CONTENT)

    with pytest.raises(DestinationRefused, match=f"{FILE.id} was deleted from {tmp_path}"):
        folder.publish(FILE.id, NAME)


def test_publishing_goes_on_after_a_crash_between_link_and_unlink(
    folder: LocalDestination, tmp_path: Path
) -> None:
    folder.send_whole(FILE, CONTENT)
    os.link(content_of(tmp_path), tmp_path / NAME)
    folder.publish(FILE.id, NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert not content_of(tmp_path).exists()
    assert folder.find_file(FILE.id) is None


def test_publishing_goes_on_after_a_crash_before_the_sessions_are_cleared(
    folder: LocalDestination, tmp_path: Path
) -> None:
    leftover = folder.open_session(FILE)
    folder.send_whole(FILE, CONTENT)
    os.link(content_of(tmp_path), tmp_path / NAME)
    content_of(tmp_path).unlink()
    folder.publish(FILE.id, NAME)
    assert not (tmp_path / leftover).exists()


def test_published_file_that_was_moved_away_is_not_published_again(
    folder: LocalDestination, tmp_path: Path
) -> None:
    folder.send_whole(FILE, CONTENT)
    folder.publish(FILE.id, NAME)
    (tmp_path / NAME).unlink()
    folder.publish(FILE.id, NAME)
    assert not (tmp_path / NAME).exists()


def test_equal_file_under_the_name_counts_as_published(
    folder: LocalDestination, tmp_path: Path
) -> None:
    folder.send_whole(FILE, CONTENT)
    (tmp_path / NAME).write_bytes(CONTENT)  # as a synchronised folder restores it
    folder.publish(FILE.id, NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    with pytest.raises(IdTaken):
        folder.send_whole(FILE, CONTENT)


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_foreign_thing_under_the_name_is_left_alone(
    folder: LocalDestination, tmp_path: Path, kind: str
) -> None:
    real = tmp_path / NAME
    if kind == "file":
        real.write_bytes(b"of somebody else")
    elif kind == "folder":
        real.mkdir()
    else:
        real.symlink_to(tmp_path / "nowhere")
    folder.send_whole(FILE, CONTENT)
    with pytest.raises(DestinationRefused, match=NAME):
        folder.check_name(NAME)
    with pytest.raises(DestinationRefused, match=NAME):
        folder.publish(FILE.id, NAME)
    assert content_of(tmp_path).read_bytes() == CONTENT
    assert kind != "file" or real.read_bytes() == b"of somebody else"


def test_refused_sender_leaves_nothing_behind(folder: LocalDestination, tmp_path: Path) -> None:
    session = folder.open_session(FILE)
    folder.send_whole(FILE, CONTENT)
    with pytest.raises(IdTaken):
        folder.send_chunk(session, b"other", offset=0, last=True)
    assert [path.name for path in tmp_path.iterdir()] == [f".daybook-{FILE.id}"]


def test_chunk_cut_short_is_written_over(folder: LocalDestination, tmp_path: Path) -> None:
    session = folder.open_session(FILE)
    folder.send_chunk(session, b"half of it", offset=0, last=False)
    folder.send_chunk(session, CONTENT, offset=0, last=True)
    found = folder.find_file(FILE.id)
    assert found is not None
    assert found.size_bytes == len(CONTENT)


def test_missing_folder_is_refused_by_path(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    folder = LocalDestination(missing)
    for act in (
        lambda: folder.send_whole(FILE, CONTENT),
        lambda: folder.open_session(FILE),
        lambda: folder.find_file(FILE.id),
        lambda: next(folder.read(FILE.id, NAME)),
    ):
        with pytest.raises(DestinationRefused, match="missing"):
            act()
    (finding,) = folder.check()
    assert not finding.ok
    assert str(missing) in finding.detail


def test_folder_that_went_away_is_no_lost_session(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    folder = LocalDestination(root)
    session = folder.open_session(FILE)
    shutil.rmtree(root)
    with pytest.raises(DestinationRefused, match="root"):
        folder.held(session)
    with pytest.raises(DestinationRefused, match="root"):
        folder.send_chunk(session, CONTENT, offset=0, last=True)
    root.mkdir()
    with pytest.raises(SessionExpired):
        folder.held(session)


def test_file_in_place_of_the_folder_is_refused_by_path(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    folder = LocalDestination(tmp_path / "plain")
    with pytest.raises(DestinationRefused, match="plain"):
        folder.send_whole(FILE, CONTENT)
    with pytest.raises(DestinationRefused, match="plain"):
        folder.find_file(FILE.id)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_refused_by_path(folder: LocalDestination, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DestinationRefused, match="no permission"):
            folder.send_whole(FILE, CONTENT)
        assert not folder.check()[0].ok
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "changes", "kind"),
    [
        (errno.ENOSPC, True, DestinationRefused),
        (errno.EDQUOT, True, DestinationRefused),
        (errno.EROFS, True, DestinationRefused),
        (errno.EMLINK, True, DestinationRefused),
        (errno.EFBIG, True, DestinationRefused),
        *((number, True, UncertainResponse) for number in PASSING),
        *((number, False, DestinationError) for number in PASSING),
        (errno.ENOMSG, True, UncertainResponse),
    ],
)
def test_error_of_the_system_names_the_path_and_says_what_to_do(
    number: int, changes: bool, kind: type[DestinationError]
) -> None:
    with (
        pytest.raises(DestinationError, match="/somewhere") as caught,
        translated("write", Path("/somewhere"), changes=changes),
    ):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind
    assert os.strerror(number) in str(caught.value)
    assert ("(" in str(caught.value)) == (number != errno.ENOMSG)


@pytest.mark.parametrize(
    "about",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"name": 7, "properties": {}}',
        b'{"name": "../x.csv", "properties": {}}',
        b'{"name": "x.csv", "properties": 7}',
    ],
    ids=lambda about: repr(about[:40]),
)
def test_damaged_description_of_a_hidden_file_is_an_error_that_names_it(
    folder: LocalDestination, tmp_path: Path, about: bytes
) -> None:
    folder.send_whole(FILE, CONTENT)
    described = content_of(tmp_path).with_name("file.json")
    described.write_bytes(about)
    with pytest.raises(DestinationRefused, match=str(described)):
        folder.find_file(FILE.id)


def test_check_leaves_nothing_behind(folder: LocalDestination, tmp_path: Path) -> None:
    assert [finding.ok for finding in folder.check()] == [True]
    assert list(tmp_path.iterdir()) == []
