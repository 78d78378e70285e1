"""The model's Drive: ids, sessions that keep the bytes that come first, late requests."""

from __future__ import annotations

from .world import File, Request, Session, World, replaced, session_of


def land(world: World, request: Request) -> World:
    """Let the request take effect; a run that waits for it must look up the result."""
    if request.session is None:
        assert request.meant is not None
        made = File(request.content, request.day, request.fence, request.meant)
        return _create(world, request.file_id, made)
    session = session_of(world, request.session)
    if session is None or request.offset > len(session.content):
        return world
    missing = request.content[len(session.content) - request.offset :]
    session = session._replace(content=session.content + missing)
    world = _with_session(world, session)
    if request.meant is not None:
        made = File(session.content, session.day, session.fence, request.meant)
        return _create(world, session.file_id, made)
    return world


def can_matter(world: World, request: Request) -> bool:
    """False when the request can no longer change anything and no run waits for it."""
    if request.sender is not None:
        return True
    if world.files[request.file_id] is not None:
        return False
    if request.meant is not None:
        return True
    session = session_of(world, request.session)
    return session is not None and request.offset + len(request.content) > len(session.content)


def open_session(world: World, session: Session) -> World:
    kept = tuple(other for other in world.sessions if other.fence != session.fence)
    return world._replace(sessions=(*kept, session))


def _with_session(world: World, session: Session) -> World:
    at = next(n for n, other in enumerate(world.sessions) if other.fence == session.fence)
    return world._replace(sessions=replaced(world.sessions, at, session))


def _create(world: World, file_id: int, file: File) -> World:
    if world.files[file_id] is not None:
        return world  # 409 fileIdInUse
    return world._replace(files=replaced(world.files, file_id, file))
