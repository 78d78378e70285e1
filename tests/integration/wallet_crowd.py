"""A process whose threads debit and credit wallets until it is killed, saying what they do.

`python -m tests.integration.wallet_crowd URI DATABASE SEED OWNER…`: a line `try KEY DIRECTION
AMOUNT OWNER` before each movement, `done KEY TRANSACTION VERSION` or `refused KEY` after it.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from bson import ObjectId

from daybook.wallets import move
from daybook.wallets.context import Ledger
from daybook.wallets.errors import LedgerError
from tests.integration.ledgers import make_app, movement

THREADS = 8
ACTS = {"debit": move.debit, "credit": move.credit}


def moves(ledger: Ledger, owners: Sequence[ObjectId], dice: random.Random) -> NoReturn:
    while True:
        owner = dice.choice(owners)
        direction = dice.choice(["debit", "debit", "debit", "credit"])
        key, amount = str(ObjectId()), dice.randint(1, 50)
        _say(f"try {key} {direction} {amount} {owner}")
        try:
            body = ACTS[direction](ledger, owner, movement(amount, key=key)).body
        except LedgerError:
            _say(f"refused {key}")
        else:
            _say(f"done {key} {body['transactionId']} {body['version']}")


def _say(line: str) -> None:
    # One write: no other thread's words come in between.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(uri: str, database: str, seed: str, *owners: str) -> None:
    ledger = make_app(uri, database).ledger
    for number in range(THREADS):
        args = (ledger, list(map(ObjectId, owners)), random.Random(f"{seed}/{number}"))
        threading.Thread(target=moves, args=args).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
