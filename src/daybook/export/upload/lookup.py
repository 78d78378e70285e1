"""Asking what is stored under an ID or held by a session, with repeats within the retry budget."""

from __future__ import annotations

from daybook.destinations.base import DeliveredFile, Destination, Held
from daybook.errors import DestinationError, IdTaken, SessionExpired
from daybook.export.model.budgets import RetryBudget


def find_file(
    destination: Destination, file_id: str, retry_budget: RetryBudget
) -> DeliveredFile | None:
    """The file stored under the ID; repeats the request while the destination fails."""
    while True:
        try:
            return destination.find_file(file_id)
        except DestinationError as error:
            retry_budget.wait(error)


def find_conflicting_file(
    destination: Destination, file_id: str, retry_budget: RetryBudget, error: IdTaken
) -> DeliveredFile | None:
    """The file under an ID that was refused as taken; None when none appears in time."""
    while True:
        file = find_file(destination, file_id, retry_budget)
        if file is not None:
            return file
        try:
            retry_budget.wait(error)
        except IdTaken:
            return None


def bytes_held(destination: Destination, session: str, retry_budget: RetryBudget) -> Held:
    """What a session holds; repeats the request while the destination fails.

    Raises `SessionExpired`.
    """
    while True:
        try:
            return destination.held(session)
        except SessionExpired:
            raise
        except DestinationError as error:
            retry_budget.wait(error)
