"""An app whose runs report how far they have come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from daybook.app import App
from daybook.export.context import Exporter
from daybook.export.profile import Profile


@dataclass(frozen=True)
class Watched(App):
    """`progress` gets the parts done and their total."""

    progress: Callable[[int, int], None] | None = None

    def exporter(self, profile: Profile) -> Exporter:
        return replace(super().exporter(profile), progress=self.progress)
