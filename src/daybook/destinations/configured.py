"""The destination that an address in the settings names."""

from __future__ import annotations

from collections.abc import Callable

from daybook.destinations.base import Destination
from daybook.settings.parsers import DestinationAddress
from daybook.settings.settings import Settings


def destination_of(
    settings: Settings, address: DestinationAddress, *, cut: Callable[[], bool]
) -> Destination:
    """Build it; its libraries are imported only if it is the configured one.

    `cut` tells requests to Drive that the process is about to be killed.
    """
    if address.scheme == "drive":
        from daybook.destinations.drive.drive import ROOT_URL, DriveDestination, drive_session

        assert address.folder_id is not None  # noqa: S101  (checked by the settings)
        return DriveDestination(
            folder_id=address.folder_id,
            session=drive_session(settings.drive_subject, settings.drive_endpoint),
            root_url=settings.drive_endpoint or ROOT_URL,
            subject=settings.drive_subject,
            cut=cut,
        )
    if address.scheme == "s3":
        from daybook.destinations.s3.s3 import S3Destination, s3_client

        assert address.bucket is not None  # noqa: S101  (checked by the settings)
        return S3Destination(client=s3_client(), bucket=address.bucket, prefix=address.prefix)
    from daybook.destinations.local.local import LocalDestination

    assert address.path is not None  # noqa: S101  (checked by the settings)
    return LocalDestination(address.path)
