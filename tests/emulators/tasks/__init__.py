"""A stand-in for Cloud Tasks, REST version 2, that tests start on this machine."""

from tests.emulators.tasks.emulator import QUEUE, TasksEmulator

__all__ = ["QUEUE", "TasksEmulator"]
