"""The functions' entry points, for `functions-framework` and Cloud Run functions."""

# ruff: noqa: E402  (what stands before an import changes it)

import gc
import os
import sys
from pathlib import Path

# Nothing that is imported becomes garbage, and looking for it takes a tenth of the start.
gc.disable()

sys.path.insert(0, str(Path(__file__).parent / "src"))

# gunicorn, which is imported after this, lets a peer that it trusts, by default one on this
# machine, set SCRIPT_NAME by a header, and answers 500 when the path has another beginning.
# Nothing in front of the function needs that.
os.environ.setdefault("FORWARDED_ALLOW_IPS", "")

import flask
import functions_framework

from daybook import log
from daybook.app import App
from daybook.display import scrubbed, visible
from daybook.errors import ConfigurationError
from daybook.http import routes
from daybook.http.ledger import routes as ledger_routes
from daybook.ledger_app import LedgerApp, server_threads

log.setup()
try:
    _app = App.from_env(os.environ)
except ConfigurationError as error:
    sys.exit(visible(scrubbed(f"Daybook cannot start: {error}")))
_ledger = LedgerApp(_app.settings, threads=server_threads(os.environ))

gc.freeze()  # what was imported stays, and later collections need not go through it
gc.enable()


@functions_framework.http
def daybook(request: flask.Request) -> flask.Response:
    """The daily batch, manual exports, health."""
    return routes.answer(_app, request)


@functions_framework.http
def ledger(request: flask.Request) -> flask.Response:
    """Wallets, what moves between them, users and invites."""
    return ledger_routes.answer(_ledger, request)
