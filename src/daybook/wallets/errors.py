"""The error of a valid request that the ledger cannot carry out."""

from __future__ import annotations

from enum import StrEnum

from daybook.errors import DaybookError


class ErrorCode(StrEnum):
    """The `code` of a response. Programs depend on its values, so they are a contract."""

    USER_NOT_FOUND = "USER_NOT_FOUND"  # no user has the ID, or a deleted one
    USER_ERASED = "USER_ERASED"  # the key created a user who was erased since
    WALLET_NOT_FOUND = "WALLET_NOT_FOUND"  # the user has no wallet, or a deleted one
    WALLET_EXISTS = "WALLET_EXISTS"  # the user has a wallet already
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"  # the balance is below the amount
    BALANCE_LIMIT = "BALANCE_LIMIT"  # the balance would grow beyond what JSON carries exactly
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"  # two wallets of different currencies
    TRANSACTION_NOT_FOUND = "TRANSACTION_NOT_FOUND"  # no transaction has the ID
    ALREADY_REVERSED = "ALREADY_REVERSED"  # a reversal exists already
    NOT_REVERSIBLE = "NOT_REVERSIBLE"  # a reversal itself, or not booked by this ledger
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"  # the key belongs to another request
    ANSWER_EXPIRED = "ANSWER_EXPIRED"  # the key was used before; its first answer is no longer kept
    INVITE_NOT_FOUND = "INVITE_NOT_FOUND"  # no invite has the code
    INVITE_EXISTS = "INVITE_EXISTS"  # the code is taken
    INVITE_USED = "INVITE_USED"  # the invite was accepted
    INVITE_EXPIRED = "INVITE_EXPIRED"  # `expiresAt` has passed


class LedgerError(DaybookError):
    """The request changed nothing. `where` names the field at fault, if there is one."""

    type = "refused"
    permanent = True

    def __init__(self, code: ErrorCode, message: str, *, where: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.where = where
        self.is_certain = False
        """Whether a commit has shown that nothing is booked under the request's key."""
