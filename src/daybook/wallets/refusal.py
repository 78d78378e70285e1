"""Why a request that is well formed is not carried out."""

from __future__ import annotations

from enum import StrEnum

from daybook.errors import DaybookError


class Refusal(StrEnum):
    """The `code` of an answer; programs decide by it, so a word once given stays."""

    USER_NOT_FOUND = "USER_NOT_FOUND"  # nobody, or a deleted user, has the id
    USER_ERASED = "USER_ERASED"  # the key made a user whose data was removed since
    WALLET_NOT_FOUND = "WALLET_NOT_FOUND"  # the user has no wallet, or a deleted one
    WALLET_EXISTS = "WALLET_EXISTS"  # the user has a wallet already
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"  # the balance is below the amount
    BALANCE_LIMIT = "BALANCE_LIMIT"  # the balance would grow beyond what JSON carries exactly
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"  # two wallets of different currencies
    TRANSACTION_NOT_FOUND = "TRANSACTION_NOT_FOUND"  # no transaction has the id
    ALREADY_REVERSED = "ALREADY_REVERSED"  # a counter-entry stands already
    NOT_REVERSIBLE = "NOT_REVERSIBLE"  # a reversal itself, or not booked by this ledger
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"  # the key belongs to another request
    ANSWER_EXPIRED = "ANSWER_EXPIRED"  # done under the key; the first answer is no longer kept
    INVITE_NOT_FOUND = "INVITE_NOT_FOUND"  # no invite has the code
    INVITE_EXISTS = "INVITE_EXISTS"  # the code is taken
    INVITE_USED = "INVITE_USED"  # somebody has accepted it
    INVITE_EXPIRED = "INVITE_EXPIRED"  # its time is over


class Refused(DaybookError):
    """The request changes nothing, for the reason `code`; `where` names the field, if one."""

    type = "refused"
    permanent = True

    def __init__(self, code: Refusal, message: str, *, where: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.where = where
