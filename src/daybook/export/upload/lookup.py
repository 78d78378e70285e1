"""Looking at what stands at an id, or what a session holds, patiently."""

from __future__ import annotations

from daybook.destinations.base import DeliveredFile, Destination, Held
from daybook.errors import DestinationError, IdTaken, SessionGone
from daybook.export.upload.retry_budget import Patience


def look(destination: Destination, file_id: str, patience: Patience) -> DeliveredFile | None:
    """What stands at the id, asked again while the destination fails to answer."""
    while True:
        try:
            return destination.look(file_id)
        except DestinationError as error:
            patience.wait(error)


def look_at_taken(
    destination: Destination, file_id: str, patience: Patience, error: IdTaken
) -> DeliveredFile | None:
    """What stands at an id that was refused as taken; None when nothing shows up in time."""
    while True:
        file = look(destination, file_id, patience)
        if file is not None:
            return file
        try:
            patience.wait(error)
        except IdTaken:
            return None


def held_by(destination: Destination, session: str, patience: Patience) -> Held:
    """What a session holds, asked again while the destination fails to answer.

    Raises `SessionGone`.
    """
    while True:
        try:
            return destination.held(session)
        except SessionGone:
            raise
        except DestinationError as error:
            patience.wait(error)
