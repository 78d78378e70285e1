"""A stand-in for Google Drive v3 that tests start on this machine: see ../README.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from tests.emulators.drive import world as names
from tests.emulators.drive.faults import Fault, FaultKind, FaultPlan, planned
from tests.emulators.drive.http import Handler
from tests.emulators.drive.items import Identity, Item, new_id
from tests.emulators.drive.log import LoggedRequest, RequestLog
from tests.emulators.drive.service import Service
from tests.emulators.drive.store import load_state, save_state
from tests.emulators.drive.views import DriveFile, OpenSession, file_view, session_view
from tests.emulators.drive.world import World
from tests.emulators.stand_in import StandIn

Value = TypeVar("Value")


class _Setting(Generic[Value]):
    """A setting that one of the emulator's parts holds."""

    def __init__(self, part: str) -> None:
        self._path = part

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, emulator: DriveEmulator, owner: type) -> Value:
        value: Value = getattr(attrgetter(self._path)(emulator), self._name)
        return value

    def __set__(self, emulator: DriveEmulator, value: Value) -> None:
        setattr(attrgetter(self._path)(emulator), self._name, value)


class DriveEmulator(StandIn):
    """Drive on 127.0.0.1: `with DriveEmulator() as drive: drive.url`.

    `clock` tells the time for sessions, timestamps and the listing's lag. Leaving the
    `with` block raises what went wrong inside the stand-in or in a hook, if anything did.
    """

    listing_lag = _Setting[timedelta]("world")
    """How long a new file stays out of `files.list`."""
    conflict_at_session_start = _Setting[bool]("service.uploads")
    """Whether a used id is refused when a session opens, or only when it completes."""
    multipart_limit_bytes = _Setting[int | None]("service.uploads")
    """The largest media part of a multipart upload; None for no limit."""
    require_auth = _Setting[bool]("service")
    """Whether a request without a token gets 401."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] | None = None,
        port: int = 0,
        state_file: Path | None = None,
    ) -> None:
        self._clock = clock or (lambda: datetime.now(UTC))
        self._advanced = timedelta(0)
        self.world = World(self.now)
        self.service = Service(self.world)
        self.faults = FaultPlan()
        self.log = RequestLog()
        self.latency_seconds = 0.0
        self.bytes_per_second: float | None = None
        self.down: bool | str = False
        """True answers everything with 503, "cut" cuts every connection."""
        self.identities: dict[str, Identity] = {}
        """The account that a bearer token belongs to; see `identify`."""
        self.drive_id = names.DRIVE_ID
        self.folder_id = names.FOLDER_ID
        self.my_drive_folder_id = names.MY_DRIVE_FOLDER_ID
        self.read_only_drive_id = names.READ_ONLY_DRIVE_ID
        self.read_only_folder_id = names.READ_ONLY_FOLDER_ID
        self._state_file = state_file
        if state_file is not None and state_file.exists():
            load_state(self.service, state_file)
        super().__init__(Handler, port)

    # Life

    def close(self) -> None:
        """Also save the state."""
        super().close()
        self.save()

    def save(self) -> None:
        """Write the state file, if there is one."""
        if self._state_file is not None:
            save_state(self.service, self._state_file)

    def now(self) -> datetime:
        return self._clock() + self._advanced

    def advance(self, by: timedelta) -> None:
        """Let the stand-in's time jump ahead."""
        self._advanced += by

    # Setting up

    def identify(self, authorization: str | None) -> Identity:
        """Who a request comes from.

        A token in `identities` belongs to that identity. Any other token is the name of
        its identity, which acts for a user when it begins with "user:". No token is
        `identities[""]`, or "anonymous", a service account.
        """
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return self.identities.get("", Identity(name="anonymous"))
        if token in self.identities:
            return self.identities[token]
        user = token.removeprefix("user:")
        return Identity(name=user, acts_for_user=user != token)

    def add_folder(self, name: str, *, parent: str | None = None) -> str:
        """A new folder (in the writable shared drive unless told) and its id."""
        return self.world.add_folder(name, parent=parent or self.drive_id)

    def grant(self, container_id: str, role: str, identity: str | None = None) -> None:
        """Give a role on a drive, folder or file; `identity` None is everyone."""
        self.world.grant(container_id, role, identity)

    def issue_id(self, identity: str = "anonymous") -> str:
        """An id as `files.generateIds` would give it to `identity`."""
        return self.world.generate_ids(Identity(name=identity), 1, "drive", "files")[0]

    def plant(
        self,
        content: bytes,
        *,
        name: str,
        file_id: str | None = None,
        folder_id: str | None = None,
        properties: Mapping[str, str] | None = None,
        client: str = "anonymous",
    ) -> DriveFile:
        """Put a file there without a request, as if another account had done it.

        `client` is the application that alone sees the `properties`.
        """
        folder = self.world.items[folder_id or self.folder_id]
        now = self.now()
        item = Item(
            id=file_id or new_id(),
            name=name,
            mime_type="text/csv",
            parents=[folder.id],
            appeared=now,
            created=now,
            modified=now,
            drive_id=folder.drive_id,
            content=content,
            app_properties={client: dict(properties)} if properties else {},
        )
        with self.world.lock:
            if item.id in self.world.used_ids:
                raise ValueError(f"there is or was a file with the id {item.id}")
            self.world.used_ids.add(item.id)
            self.world.items[item.id] = item
        return file_view(item)

    def tamper(self, file_id: str, content: bytes) -> None:
        """Change a file's content without a request."""
        with self.world.lock:
            item = self.world.items[file_id]
            item.take_content(content)
            item.touch(self.now())

    def remove(self, file_id: str) -> None:
        """Delete a file without a request; its id stays used."""
        with self.world.lock:
            del self.world.items[file_id]

    # Faults and hooks

    def fault(
        self,
        kind: FaultKind | str,
        *,
        on: str | Sequence[str] | None = None,
        nth: int = 1,
        times: int | None = 1,
        seconds: float = 0.0,
        status: int | None = None,
        reason: str | None = None,
        message: str | None = None,
        at_bytes: int | None = None,
        after: bool = False,
        fields: Mapping[str, Any] | None = None,
    ) -> Fault:
        """Plan a fault (see `FaultKind`); its `hits` tells later whether it struck."""
        return self.faults.add(
            planned(
                kind,
                on=on,
                nth=nth,
                times=times,
                seconds=seconds,
                status=status,
                reason=reason,
                message=message,
                at_bytes=at_bytes,
                after=after,
                fields=fields,
            )
        )

    def release(self) -> None:
        """Let the requests go that HOLD faults hold now."""
        self.faults.release()

    def throttle(self, size_bytes: int) -> None:
        if self.bytes_per_second:
            self.pause(size_bytes / self.bytes_per_second)

    # Looking

    def files(
        self, folder_id: str | None = None, *, include_trashed: bool = False
    ) -> list[DriveFile]:
        """All files with content, oldest first; those of one folder if told."""
        with self.world.lock:
            return [
                file_view(item)
                for item in self.world.items.values()
                if item.content is not None
                and (folder_id is None or folder_id in item.parents)
                and (include_trashed or not item.trashed)
            ]

    def sessions(self) -> list[OpenSession]:
        """All upload sessions ever opened, oldest first."""
        with self.world.lock:
            return [session_view(session) for session in self.service.uploads.sessions.values()]

    @property
    def requests(self) -> list[LoggedRequest]:
        return self.log.all()

    @property
    def bytes_received(self) -> int:
        return self.log.bytes_received

    def wait_for(
        self, operation: str, *, nth: int = 1, acted: bool = False, timeout_seconds: float = 30.0
    ) -> LoggedRequest:
        """Block until the nth request of an operation has arrived (or has acted)."""

        def found(requests: list[LoggedRequest]) -> list[LoggedRequest]:
            return [
                request
                for request in requests
                if request.operation == operation
                and request.nth == nth
                and (request.acted or not acted)
            ]

        return found(self.log.wait_for(lambda all_: bool(found(all_)), timeout_seconds))[0]
