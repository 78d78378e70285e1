"""Uploads: multipart, simple, and resumable sessions.

https://developers.google.com/workspace/drive/api/guides/manage-uploads
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from tests.emulators.drive.answers import Answer, DriveError, bad_request
from tests.emulators.drive.call import Call, all_drives, file_answer
from tests.emulators.drive.items import new_id
from tests.emulators.drive.metadata import Metadata, for_create
from tests.emulators.drive.multipart import parse_multipart
from tests.emulators.drive.routes import sent_range
from tests.emulators.drive.sessions import Session, session_gone
from tests.emulators.drive.world import World

MULTIPART_LIMIT_BYTES = 5 * 1024 * 1024


class Uploads:
    """Everything that brings content in."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sessions: dict[str, Session] = {}
        self.conflict_at_session_start = True
        self.multipart_limit_bytes: int | None = MULTIPART_LIMIT_BYTES
        self.acts: dict[str, Callable[[Call], Answer]] = {
            "chunk": self._put,
            "chunk_last": self._put,
            "create": self._create,
            "create_media": self._create_media,
            "create_multipart": self._create_multipart,
            "session_cancel": self._cancel,
            "session_finish": self._put,
            "session_open": self._open,
            "session_query": self._put,
        }

    def _create(self, call: Call) -> Answer:
        metadata = for_create(call.metadata())
        return self._made(call, metadata, None, media_type=None)

    def _create_media(self, call: Call) -> Answer:
        media_type = call.head.headers.get("content-type", "").partition(";")[0].strip() or None
        return self._made(call, for_create({}), call.body, media_type=media_type)

    def _create_multipart(self, call: Call) -> Answer:
        upload = parse_multipart(call.head.headers.get("content-type"), call.body)
        limit = self.multipart_limit_bytes
        if limit is not None and len(upload.media) > limit:
            raise DriveError(
                413, "uploadTooLarge", f"A multipart upload may carry {limit} bytes of media."
            )
        metadata = for_create(upload.metadata)
        return self._made(call, metadata, upload.media, media_type=upload.media_type)

    def _made(
        self, call: Call, metadata: Metadata, content: bytes | None, *, media_type: str | None
    ) -> Answer:
        query = call.query("files.create", schema="File")
        item = self.world.create(
            call.identity,
            metadata,
            content,
            media_type=media_type,
            all_drives=all_drives(query),
        )
        return file_answer(self.world, call.identity, item, query.get("fields"))

    def _open(self, call: Call) -> Answer:
        query = call.query("files.create", schema="File")
        metadata = for_create(call.metadata())
        everywhere = all_drives(query)
        self.world.check_create(call.identity, metadata, all_drives=everywhere)
        if self.conflict_at_session_start:
            self.world.check_id_free(metadata)
        announced = call.head.headers.get("x-upload-content-length")
        if announced is not None and not announced.isdigit():
            raise bad_request(f"Invalid X-Upload-Content-Length: {announced}.")
        session = Session(
            id=new_id("ABgVH8", 96),
            identity=call.identity,
            metadata=metadata,
            media_type=call.head.headers.get("x-upload-content-type"),
            announced_bytes=None if announced is None else int(announced),
            all_drives=everywhere,
            fields=query.get("fields"),
            opened=self.world.clock(),
        )
        self.sessions[session.id] = session
        query_text = urlencode({**query, "upload_id": session.id})
        address = f"http://{call.head.headers['host']}{call.head.path}?{query_text}"
        return Answer(status=200, headers={"Location": address, "X-GUploader-UploadID": session.id})

    def _put(self, call: Call) -> Answer:
        session = self.sessions.get(call.target_id)
        if session is None:
            raise session_gone(404)
        if call.gone_status is not None:
            session.gone_status = call.gone_status
        session.check_alive(self.world.clock())
        if session.file_id is not None:
            return self._of_session(session)
        if session.failure is not None:
            raise session.failure
        sent = sent_range(call.head)
        if sent.is_query and call.body:
            raise bad_request("A status request has no body.")
        complete = session.take(sent, call.body, at_most=call.at_most, whole=call.whole)
        if not complete:
            return _incomplete(session)
        if not call.makes:
            return _incomplete(session)
        return self._complete(session)

    def _complete(self, session: Session) -> Answer:
        try:
            item = self.world.create(
                session.identity,
                session.metadata,
                bytes(session.data),
                media_type=session.media_type,
                all_drives=session.all_drives,
            )
        except DriveError as error:
            session.failure = error
            raise
        session.file_id = item.id
        session.data = bytearray()
        return self._of_session(session)

    def _of_session(self, session: Session) -> Answer:
        item = self.world.items.get(session.file_id or "")
        if item is None:
            raise session_gone(404)
        return file_answer(self.world, session.identity, item, session.fields)

    def _cancel(self, call: Call) -> Answer:
        session = self.sessions.get(call.target_id)
        if session is None:
            raise session_gone(404)
        session.check_alive(self.world.clock())
        session.gone_status = 404
        return Answer(status=499)


def _incomplete(session: Session) -> Answer:
    headers = {"X-GUploader-UploadID": session.id}
    if session.held:
        headers["Range"] = f"bytes=0-{session.held - 1}"
    return Answer(status=308, headers=headers)
