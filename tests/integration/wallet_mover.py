"""A process that transfers between wallets, saying what it tries and what is done, until killed.

`python -m tests.integration.wallet_mover URI DATABASE SEED OWNER…`: a line `try KEY PAYER
PAYEE AMOUNT` before each transfer, `done KEY TRANSACTION` or `refused KEY` after it.
"""

from __future__ import annotations

import random
import sys
import threading
from typing import NoReturn

from bson import ObjectId

from daybook.wallets import move
from daybook.wallets.context import Ledger
from daybook.wallets.errors import LedgerError
from tests.integration.ledgers import make_app, movement

THREADS = 4


def transfers(ledger: Ledger, owners: list[ObjectId], dice: random.Random) -> NoReturn:
    while True:
        payer, payee = dice.sample(owners, 2)
        key, amount = str(ObjectId()), dice.randint(1, 50)
        _say(f"try {key} {payer} {payee} {amount}")
        try:
            body = move.transfer(ledger, payer, payee, movement(amount, key=key)).body
        except LedgerError:
            _say(f"refused {key}")
        else:
            _say(f"done {key} {body['from']['transactionId']}")


def _say(line: str) -> None:
    # One write: no other thread's words come in between.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(uri: str, database: str, seed: str, *owners: str) -> None:
    app = make_app(uri, database)
    ledger = app.ledger
    for number in range(THREADS):
        dice = random.Random(f"{seed}/{number}")
        args = (ledger, [ObjectId(owner) for owner in owners], dice)
        threading.Thread(target=transfers, args=args).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
