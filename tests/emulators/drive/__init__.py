"""A stand-in for Google Drive v3 that tests start on this machine."""

from tests.emulators.drive.emulator import DriveEmulator

__all__ = ["DriveEmulator"]
