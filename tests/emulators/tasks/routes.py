"""Which request means what, and what the API does about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.emulators.tasks.answers import Answer, TasksError, json_answer
from tests.emulators.tasks.schema import check_body, check_query
from tests.emulators.tasks.world import World

_QUEUE = re.compile(r"/v2/(projects/[^/]+/locations/[^/]+/queues/[^/:]+)(/tasks(?:/([^/:]+))?)?")
_MOST_PER_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request, ready to be acted on."""

    queue: str
    task: str
    """In full; empty when the path names none."""
    query: dict[str, list[str]]
    body: bytes


Act = Callable[[World, Call], Answer]


@dataclass(frozen=True, kw_only=True)
class Route:
    """The operation's name, as faults and logs use it, and what is to be done."""

    operation: str
    act: Act
    path: str
    call: Call


def find_route(method: str, target: str, body: bytes) -> Route:
    """The route of a request; one that the API does not have is the operation `unknown`."""
    parts = urlsplit(target)
    found = _QUEUE.fullmatch(unquote(parts.path))
    queue, below, task = found.groups(default="") if found else ("", "", "")
    unknown = ("unknown", _unknown)
    shape = (method, bool(below), bool(task))
    operation, act = _ROUTES.get(shape, unknown) if found else unknown
    call = Call(
        queue=queue,
        task=f"{queue}/tasks/{task}" if task else "",
        query=parse_qs(parts.query, keep_blank_values=True),
        body=body,
    )
    return Route(operation=operation, act=act, path=parts.path, call=call)


def _unknown(_world: World, _call: Call) -> Answer:
    raise TasksError(404, "The requested URL was not found on this server.")


def _create(world: World, call: Call) -> Answer:
    check_query("queues.tasks.create", call.query)
    world.require("cloudtasks.tasks.create", call.queue)
    body = check_body(call.body, "CreateTaskRequest")
    if body.get("parent", call.queue) != call.queue:
        raise TasksError(400, "The parent in the body differs from the one in the URL.")
    view = body.get("responseView", "BASIC")
    _require_view(world, view, call.queue)
    with world.lock:
        return json_answer(world.create(call.queue, body.get("task", {})).resource(view))


def _get(world: World, call: Call) -> Answer:
    view = check_query("queues.tasks.get", call.query).get("responseView", "BASIC")
    world.require("cloudtasks.tasks.get", call.task)
    _require_view(world, view, call.task)
    with world.lock:
        return json_answer(world.task(call.task).resource(view))


def _list(world: World, call: Call) -> Answer:
    query = check_query("queues.tasks.list", call.query)
    world.require("cloudtasks.tasks.list", call.queue)
    view = query.get("responseView", "BASIC")
    _require_view(world, view, call.queue)
    size = int(query.get("pageSize", "0")) or _MOST_PER_PAGE
    token = query.get("pageToken", "0")
    if not (0 < size <= _MOST_PER_PAGE and token.isdigit()):
        raise TasksError(400, "The page size or the page token is invalid.")
    with world.lock:
        world.queue(call.queue)
        rest = world.pending(call.queue)[int(token) :]
        answer: dict[str, Any] = {"tasks": [task.resource(view) for task in rest[:size]]}
    if len(rest) > size:
        answer["nextPageToken"] = str(int(token) + size)
    return json_answer({key: value for key, value in answer.items() if value})


def _delete(world: World, call: Call) -> Answer:
    check_query("queues.tasks.delete", call.query)
    world.require("cloudtasks.tasks.delete", call.task)
    world.delete(call.task)
    return json_answer({})


def _queue_get(world: World, call: Call) -> Answer:
    check_query("queues.get", call.query)
    world.require("cloudtasks.queues.get", call.queue)
    with world.lock:
        return json_answer(world.queue(call.queue).resource())


def _require_view(world: World, view: str, resource: str) -> None:
    if view == "FULL":
        world.require("cloudtasks.tasks.fullView", resource)


_ROUTES: dict[tuple[str, bool, bool], tuple[str, Act]] = {
    ("POST", True, False): ("create", _create),
    ("GET", True, False): ("list", _list),
    ("GET", True, True): ("get", _get),
    ("DELETE", True, True): ("delete", _delete),
    ("GET", False, False): ("queue_get", _queue_get),
}
OPERATIONS = frozenset({"unknown", *(name for name, _ in _ROUTES.values())})
