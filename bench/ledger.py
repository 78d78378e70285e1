"""Debits on one wallet, on many, and refused ones, beside the bare conditional update alone.

The bare update is what a debit would cost if nothing had to be booked: the same
`find_one_and_update`, majority and journalled, without transaction, journal or queue.
Both are measured in turn in one process, so their ratio is the price of the booking. A refusal is
measured by one thread, in milliseconds. Each figure is the median of all rounds, a ratio of each
round's own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from bson import Int64, ObjectId
from rich.console import Console
from rich.table import Table

from daybook.errors import DaybookError
from daybook.ledger_app import LedgerApp
from daybook.local.mongod import EmbeddedMongod
from daybook.mongo.migrate import migrate
from daybook.settings.settings import Settings
from daybook.wallets import move, queries, users
from daybook.wallets.booking import Movement
from daybook.wallets.context import Ledger
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.idempotency import IdempotencyKey
from daybook.wallets.users import NewUser
from daybook.wallets.wallet import open_wallet

BALANCE_PAISE = 10**12
Debit = Callable[[Ledger, ObjectId], None]


def booked(ledger: Ledger, owner: ObjectId) -> None:
    """A debit as a request makes it, from its key on."""
    key = IdempotencyKey.of(str(ObjectId()), f"wallets/{owner}/debits", {"amountPaise": 1})
    move.debit(ledger, owner, Movement(key=key, type="payout", amount_paise=1))


def bare(ledger: Ledger, owner: ObjectId) -> None:
    """The conditional update alone."""
    wanted = queries.WALLET_OF_OWNER_TO_DEBIT
    found = ledger.database[wanted.collection].find_one_and_update(
        wanted.filter(owner=owner, amount_paise=1),
        {"$inc": {"availablePaise": Int64(-1), "version": Int64(1)}},
    )
    assert found is not None


def refused(ledger: Ledger, owner: ObjectId) -> None:
    """A debit that the balance does not cover, as a request makes it."""
    body = {"amountPaise": BALANCE_PAISE + 1}
    key = IdempotencyKey.of(str(ObjectId()), f"wallets/{owner}/debits", body)
    try:
        move.debit(ledger, owner, Movement(key=key, type="payout", amount_paise=BALANCE_PAISE + 1))
    except LedgerError as error:
        if error.code is ErrorCode.INSUFFICIENT_FUNDS:
            return
        raise
    raise AssertionError("it was not refused")


BARE, DEBIT, REFUSAL = "bare update", "debit", "refusal"
MEASURED: dict[str, Debit] = {BARE: bare, DEBIT: booked}
BY_ONE_THREAD: dict[str, Debit] = {BARE: bare, REFUSAL: refused}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    try:
        with EmbeddedMongod(cache_gb=options.cache_gb) as mongod:
            results = measure(mongod.uri, options)
    except DaybookError as error:
        sys.exit(str(error))
    summary = _summary(results)
    if options.json:
        machine = {"machine": platform.platform(), "cores": os.cpu_count()}
        print(json.dumps({**machine, **vars(options), "summary": summary}, indent=2))
    else:
        _print(summary, options)


def measure(uri: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One result per round, number of threads and of wallets, and kind of debit."""
    environment = {"DAYBOOK_MONGODB_URI": uri, "DAYBOOK_DESTINATION": "file:///tmp"}
    app = LedgerApp(Settings.from_env(environment))
    migrate(app.database, now=datetime.now(UTC))
    owners = [holder(app.ledger) for _ in range(options.wallets)]
    plan = [
        *((options.threads, 1, options.debits, what, debit) for what, debit in MEASURED.items()),
        *(
            (options.threads, options.wallets, options.debits, what, debit)
            for what, debit in MEASURED.items()
        ),
        *((1, 1, options.refusals, what, debit) for what, debit in BY_ONE_THREAD.items()),
    ]
    results = []
    for round_ in range(options.rounds + 1):
        for threads, wallets, count, what, debit in plan:
            with ThreadPoolExecutor(threads) as pool:
                seconds = _timed(pool, app.ledger, debit, owners[:wallets], count)
            if round_:  # the first one warms up
                each = {"threads": threads, "wallets": wallets, "what": what, "round": round_}
                results.append({**each, "seconds": seconds / count})
                print(
                    f"{threads:>3} threads, {wallets:>3} wallets, {what:<11} "
                    f"{seconds / count * 1000:8.3f} ms each",
                    file=sys.stderr,
                )
    app.client.close()
    return results


def _timed(
    pool: ThreadPoolExecutor, ledger: Ledger, debit: Debit, owners: Sequence[ObjectId], count: int
) -> float:
    started = time.perf_counter()
    for _ in pool.map(lambda number: debit(ledger, owners[number % len(owners)]), range(count)):
        pass
    return time.perf_counter() - started


def holder(ledger: Ledger) -> ObjectId:
    user = users.create(ledger, NewUser(name="Somchai", roles=("agency",), status="active"))
    owner = ObjectId(user["userId"])
    open_wallet(ledger, owner)
    key = IdempotencyKey.of(str(ObjectId()), f"wallets/{owner}/credits", {})
    move.credit(ledger, owner, Movement(key=key, type="topup", amount_paise=BALANCE_PAISE))
    return owner


def _summary(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the rounds, and each one's ratio to the bare update of the same round."""
    seconds = {
        (one["threads"], one["wallets"], one["what"], one["round"]): one["seconds"]
        for one in results
    }
    rounds = range(1, 1 + max(one["round"] for one in results))
    summary = []
    for threads, wallets, what in dict.fromkeys(key[:3] for key in seconds):
        each = [seconds[threads, wallets, what, round_] for round_ in rounds]
        of_bare = [seconds[threads, wallets, BARE, round_] / each[round_ - 1] for round_ in rounds]
        summary.append(
            {
                "threads": threads,
                "wallets": wallets,
                "what": what,
                "milliseconds": statistics.median(each) * 1000,
                "per_second": 1 / statistics.median(each),
                "of_bare": statistics.median(of_bare),
            }
        )
    return summary


def _print(summary: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    table = Table(
        title=f"{options.debits:,} debits and {options.refusals:,} refusals, "
        f"median of {options.rounds} rounds"
    )
    for title in ("Threads", "Wallets", "What", "ms each", "Per second", "Of the bare update"):
        table.add_column(title, justify="left" if title == "What" else "right")
    for row in summary:
        table.add_row(
            *(f"{row['threads']}", f"{row['wallets']}", row["what"]),
            *(f"{row['milliseconds']:.2f}", f"{row['per_second']:,.0f}", f"{row['of_bare']:.2f}"),
        )
    Console(width=100).print(table)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ledger",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--debits", type=int, default=1000, help="debits of one measurement")
    parser.add_argument("--threads", type=int, default=8, help="at once")
    parser.add_argument("--wallets", type=int, default=64, help="how many 'many' are")
    parser.add_argument("--refusals", type=int, default=50, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--cache-gb", type=float, default=1.0, help="MongoDB's cache")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
