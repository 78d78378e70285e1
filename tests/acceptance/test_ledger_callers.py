"""Callers of the ledger that Cloud Run has verified: which routes are theirs, and which keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import flask
import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.collation import Collation

from daybook.http.callers import OPEN
from daybook.http.ledger import routes
from daybook.ledger_app import LedgerApp
from daybook.mongo.migrate import migrate
from tests.acceptance.ledger_calls import assert_problem, send, told
from tests.acceptance.tokens import bearer
from tests.integration.ledgers import balance_of, check_books, make_app, prepare, purses
from tests.integration.mongo.test_migrate import NOW

SHOP, BANK = "shop@p.iam.gserviceaccount.com", "bank@p.iam.gserviceaccount.com"
GUARDED = sorted(set(routes.ROUTES) - OPEN)
EVERYWHERE = ",".join(f"{route}={account}" for route in GUARDED for account in (SHOP, BANK))
COLLECTIONS = ("users", "wallets", "transactions", "invites", "journalentries", "exportqueues")


class Deployment:
    """One database, and ledgers over it as they are deployed: with callers, and without."""

    def __init__(self, uri: str, client: MongoClient[dict[str, Any]]) -> None:
        self.database = client[f"callers_{ObjectId()}"]
        prepare(self.database)
        self._uri = uri
        self._apps: list[LedgerApp] = []
        self.open = self.deploy()
        """As before callers were named: whatever it stores, it stores without one."""
        self.guarded = self.deploy(DAYBOOK_CALLERS=EVERYWHERE)

    def deploy(self, **variables: str) -> LedgerApp:
        self._apps.append(make_app(self._uri, self.database.name, **variables))
        return self._apps[-1]

    def end(self) -> None:
        for app in self._apps:
            app.client.close()
        self.database.client.drop_database(self.database.name)

    def stored(self) -> dict[str, list[dict[str, Any]]]:
        return {name: list(self.database[name].find().sort("_id", 1)) for name in COLLECTIONS}


@pytest.fixture(scope="module")
def deployment(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Deployment]:
    deployment = Deployment(mongo_uri, mongo_client)
    yield deployment
    deployment.end()


@pytest.fixture
def key() -> str:
    return str(ObjectId())


def by(
    account: str | None, app: LedgerApp, method: str, path: str, body: Any, key: str | None = None
) -> flask.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    if account is not None:
        headers["Authorization"] = bearer(account)
    if method == "GET":
        return send(app, method, path, **headers)
    return send(app, method, path, body, **headers)


def requests_of(deployment: Deployment) -> dict[str, tuple[str, str, Any]]:
    """A request that goes through, for each route and method."""
    owner, payee, other = purses(deployment.open.ledger, 1000, 0, 1000)
    booked = deployment.database["transactions"].find_one({"ownerUserId": other})
    invite = told(send(deployment.open, "POST", "/invites", {"parentCode": "AG-7"}))
    assert booked is not None
    money = {"amountPaise": 10, "type": "payout"}
    user = {"name": "Ananya", "roles": ["brand"]}
    parties = {"fromUserId": str(owner), "toUserId": str(payee)}
    return {
        "POST /users": ("POST", "/users", user),
        "GET /users": ("GET", "/users?role=brand", None),
        "POST /wallets": ("POST", "/wallets", {"ownerUserId": str(ObjectId())}),
        "GET /wallets/{ownerUserId}": ("GET", f"/wallets/{owner}", None),
        "POST /wallets/{ownerUserId}/credits": ("POST", f"/wallets/{owner}/credits", money),
        "POST /wallets/{ownerUserId}/debits": ("POST", f"/wallets/{owner}/debits", money),
        "GET /wallets/{ownerUserId}/transactions": ("GET", f"/wallets/{owner}/transactions", None),
        "POST /transfers": ("POST", "/transfers", {**money, **parties}),
        "POST /transactions/{transactionId}/reversals": (
            *("POST", f"/transactions/{booked['_id']}/reversals"),
            {},
        ),
        "POST /invites": ("POST", "/invites", {"parentCode": "AG-7"}),
        "GET /invites": ("GET", "/invites?parentCode=AG-7", None),
        "POST /invites/{code}/accept": ("POST", f"/invites/{invite['code']}/accept", {}),
        "GET /metrics": ("GET", "/metrics", None),
    }


def test_each_route_is_open_to_its_accounts_alone_and_a_refusal_reads_and_writes_nothing(
    deployment: Deployment,
) -> None:
    wanted = requests_of(deployment)
    assert {request.partition(" ")[2] for request in wanted} == set(GUARDED)
    for request, (method, path, body) in wanted.items():
        route = request.partition(" ")[2]
        others = ",".join(f"{one}={BANK}" for one in GUARDED if one != route)
        app = deployment.deploy(DAYBOOK_CALLERS=f"{route}={SHOP},{others}")
        before = deployment.stored()
        assert_problem(
            *(by(BANK, app, method, path, body, key=str(ObjectId())), 403, "FORBIDDEN"),
            *(f"{BANK} may not call {route}: ", "DAYBOOK_CALLERS"),
        )
        assert_problem(by(None, app, method, path, body), 403, "FORBIDDEN", "without a token")
        # Nothing was looked up either: the client has not even connected.
        assert "_client" not in vars(app)
        assert deployment.stored() == before
        answer = by(SHOP, app, method, path, body, key=str(ObjectId()))
        assert answer.status_code in {200, 201}, (request, answer.get_data(as_text=True))


KEYED = ("/users", "/wallets", "/invites", "credits", "debits", "/transfers", "reversals", "accept")


def keyed(deployment: Deployment, what: str) -> tuple[str, Any]:
    """A request that takes a key, and that may be carried out more than once, but for some."""
    ((_, path, body),) = [
        request
        for name, request in requests_of(deployment).items()
        if request[0] == "POST" and name.endswith(what)
    ]
    return path, body


def changed(path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Another request to the same path."""
    if "amountPaise" in body:
        return {**body, "amountPaise": 11}
    if "ownerUserId" in body:
        return {"ownerUserId": str(ObjectId())}
    if path.endswith("reversals"):
        return {"description": "another"}
    return {"/users": {**body, "name": "Malee"}, "/invites": {"parentCode": "AG-8"}}[path]


@pytest.mark.parametrize("what", KEYED)
def test_what_was_stored_without_a_caller_is_replayed_to_any_caller(
    deployment: Deployment, what: str, key: str
) -> None:
    """As earlier versions stored it, and as it is stored while callers are not verified."""
    path, body = keyed(deployment, what)
    first = by(None, deployment.open, "POST", path, body, key)
    assert first.status_code in {200, 201}
    before = deployment.stored()
    assert not [doc for docs in before.values() for doc in docs if _names_a_caller(doc, key)]
    for account in (SHOP, BANK):
        again = by(account, deployment.guarded, "POST", path, body, key)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
        assert told(again) == told(first)
    if what != "accept":  # whose body may say who accepts, and nobody has to
        other = by(SHOP, deployment.guarded, "POST", path, changed(path, body), key)
        assert_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
    assert deployment.stored() == before


def _names_a_caller(doc: Mapping[str, Any], key: str) -> bool:
    used = key in (doc.get("idempotencyKey"), doc.get("usedKey"))
    return used and ("idempotencyCaller" in doc or "usedCaller" in doc)


@pytest.mark.parametrize("what", ["/users", "/invites", "credits", "debits", "/transfers"])
def test_a_key_is_its_callers_own(deployment: Deployment, what: str, key: str) -> None:
    path, body = keyed(deployment, what)
    app = deployment.guarded
    answers = {account: told(by(account, app, "POST", path, body, key)) for account in (SHOP, BANK)}
    assert answers[SHOP] != answers[BANK]  # each was carried out, nobody saw the other's
    before = deployment.stored()
    for account, answer in answers.items():
        again = by(account, app, "POST", path, body, key)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
        assert told(again) == answer
    other = by(BANK, app, "POST", path, changed(path, body), key)
    assert_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
    assert deployment.stored() == before
    owners = [
        doc["idempotencyCaller"]
        for docs in before.values()
        for doc in docs
        if doc.get("idempotencyKey") == key
    ]
    assert sorted(owners) == [BANK, SHOP]


def test_another_caller_cannot_block_a_key(deployment: Deployment, key: str) -> None:
    path, body = keyed(deployment, "credits")
    app = deployment.guarded
    assert by(BANK, app, "POST", path, {**body, "amountPaise": 1}, key).status_code == 201
    assert by(SHOP, app, "POST", path, body, key).status_code == 201


def test_one_invite_is_accepted_by_one_caller_under_a_key_that_both_use(
    deployment: Deployment, key: str
) -> None:
    path, body = keyed(deployment, "accept")
    app = deployment.guarded
    assert by(SHOP, app, "POST", path, body, key).status_code == 200
    assert by(SHOP, app, "POST", path, body, key).headers["Idempotency-Replayed"] == "true"
    assert by(BANK, app, "POST", path, body, key).status_code in {404, 409}


def test_a_wallet_is_not_shown_to_another_caller_with_the_key_that_opened_it(
    deployment: Deployment, key: str
) -> None:
    path, body = keyed(deployment, "/wallets")
    app = deployment.guarded
    assert by(SHOP, app, "POST", path, body, key).status_code == 201
    assert_problem(by(BANK, app, "POST", path, body, key), 409, "WALLET_EXISTS")
    assert by(SHOP, app, "POST", path, body, key).headers["Idempotency-Replayed"] == "true"


def test_a_key_moves_once_while_a_deployment_begins_to_verify_callers(
    deployment: Deployment, key: str
) -> None:
    """The same request at once to processes of both kinds, as in a change of revisions."""
    (owner,) = purses(deployment.open.ledger, 1000)
    barrier = Barrier(20)

    def ask(number: int) -> flask.Response:
        account, app = ((None, deployment.open), (SHOP, deployment.guarded))[number % 2]
        barrier.wait(30)
        body = {"amountPaise": 10, "type": "payout"}
        return by(account, app, "POST", f"/wallets/{owner}/debits", body, key)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.get_data() for answer in answers}) == 1
    assert balance_of(deployment.database, owner) == (990, 2)
    assert check_books(deployment.database, [owner]) == 990


def test_until_the_index_is_migrated_a_key_that_another_caller_has_used_moves_nothing(
    mongo_uri: str, mongo_client: MongoClient[dict[str, Any]], key: str
) -> None:
    deployment = Deployment(mongo_uri, mongo_client)
    try:
        transactions = deployment.database["transactions"]
        transactions.drop_index("idx_transaction_key_caller_unique")
        transactions.create_index(
            [("idempotencyKey", 1)],
            unique=True,
            partialFilterExpression={"idempotencyKey": {"$gte": ""}},
            collation=Collation("simple"),
        )
        (owner,) = purses(deployment.open.ledger, 1000)
        path, body = f"/wallets/{owner}/debits", {"amountPaise": 10, "type": "payout"}
        first = by(SHOP, deployment.guarded, "POST", path, body, key)
        assert first.status_code == 201
        refused = by(BANK, deployment.guarded, "POST", path, body, key)
        assert_problem(refused, 422, "IDEMPOTENCY_KEY_REUSED", "migrate")
        assert balance_of(deployment.database, owner) == (990, 2)

        migrate(deployment.database, now=NOW)
        assert by(BANK, deployment.guarded, "POST", path, body, key).status_code == 201
        again = by(SHOP, deployment.guarded, "POST", path, body, key)
        assert told(again) == told(first)
        assert balance_of(deployment.database, owner) == (980, 3)
        assert check_books(deployment.database, [owner]) == 980
    finally:
        deployment.end()


# Rights on wallets

WALLETLESS = {
    *("POST /users", "GET /users", "POST /invites", "GET /invites"),
    *("POST /invites/{code}/accept", "GET /metrics"),
}
"""Requests that are about nobody's wallet."""


def bound(deployment: Deployment, *owners: ObjectId | str) -> LedgerApp:
    """A ledger that lets the shop at these users' wallets, and the bank at all."""
    pairs = [f"{SHOP}={owner}" for owner in owners] or [f"{SHOP}={'0' * 24}"]
    return deployment.deploy(
        DAYBOOK_CALLERS=EVERYWHERE, DAYBOOK_LEDGER_WALLETS=",".join([*pairs, f"{BANK}=*"])
    )


def whose(deployment: Deployment, request: str, path: str, body: Any) -> str:
    """The id of the user on whose wallet the request needs the right."""
    if request == "POST /wallets":
        return str(body["ownerUserId"])
    if request == "POST /transfers":
        return str(body["fromUserId"])
    if "reversals" in request:
        booked = deployment.database["transactions"].find_one({"_id": ObjectId(path.split("/")[2])})
        assert booked is not None
        return str(booked["ownerUserId"])
    return path.split("/")[2]


def test_an_account_reaches_the_wallets_it_is_bound_to_and_no_other(
    deployment: Deployment,
) -> None:
    for request, (method, path, body) in requests_of(deployment).items():
        stranger = bound(deployment)
        before = deployment.stored()
        answer = by(SHOP, stranger, method, path, body, key=str(ObjectId()))
        if request in WALLETLESS:
            assert answer.status_code in {200, 201}, request
            continue
        assert_problem(answer, 403, "FORBIDDEN", SHOP, "DAYBOOK_LEDGER_WALLETS")
        assert deployment.stored() == before
        # Only the transaction of a reversal has to be looked up to know whose wallet it is.
        assert ("_client" in vars(stranger)) == ("reversals" in request)
        owner = whose(deployment, request, path, body)
        assert_problem(
            by(
                SHOP,
                bound(deployment, f"{owner[:-1]}{(int(owner[-1], 16) + 1) % 16:x}"),
                method,
                path,
                body,
                key=str(ObjectId()),
            ),
            *(403, "FORBIDDEN"),
        )
        admitted = bound(deployment, owner)
        answer = by(SHOP, admitted, method, path, body, key=str(ObjectId()))
        assert answer.status_code in {200, 201}, (request, answer.get_data(as_text=True))


@pytest.mark.parametrize("kept", [1, 8, 23])
def test_the_beginning_of_ids_includes_all_that_begin_so(deployment: Deployment, kept: int) -> None:
    (owner,) = purses(deployment.open.ledger, 5)
    app = bound(deployment, f"{str(owner)[:kept]}*")
    assert by(SHOP, app, "GET", f"/wallets/{owner}", None).status_code == 200
    assert by(SHOP, app, "GET", f"/wallets/{str(owner).upper()}", None).status_code == 200
    other = f"{'0' if str(owner)[0] != '0' else '1'}{str(owner)[1:]}"
    assert by(SHOP, app, "GET", f"/wallets/{other}", None).status_code == 403


def test_an_account_that_is_not_named_reaches_no_wallet(deployment: Deployment) -> None:
    (owner,) = purses(deployment.open.ledger, 5)
    app = deployment.deploy(DAYBOOK_CALLERS=EVERYWHERE, DAYBOOK_LEDGER_WALLETS=f"{BANK}={owner}")
    assert by(BANK, app, "GET", f"/wallets/{owner}", None).status_code == 200
    assert_problem(by(SHOP, app, "GET", f"/wallets/{owner}", None), 403, "FORBIDDEN", SHOP)


def test_a_transfer_needs_the_right_on_the_payer_and_shows_no_other_balance(
    deployment: Deployment, key: str
) -> None:
    payer, payee = purses(deployment.open.ledger, 1000, 70)
    app = bound(deployment, payer)
    body = {"amountPaise": 10, "type": "payout"}
    parties = {"fromUserId": str(payer), "toUserId": str(payee)}
    back = {"fromUserId": str(payee), "toUserId": str(payer)}
    assert_problem(by(SHOP, app, "POST", "/transfers", {**body, **back}, key), 403, "FORBIDDEN")
    for replayed in (False, True):
        answer = by(SHOP, app, "POST", "/transfers", {**body, **parties}, key)
        assert ("Idempotency-Replayed" in answer.headers) == replayed
        told_ = told(answer)
        assert (told_["from"]["availablePaise"], told_["from"]["version"]) == (990, 2)
        assert (told_["to"]["availablePaise"], told_["to"]["version"]) == (None, None)
        assert told_["to"]["ownerUserId"] == str(payee)
    again = told(by(BANK, app, "POST", "/transfers", {**body, **parties}, str(ObjectId())))
    assert (again["from"]["availablePaise"], again["to"]["availablePaise"]) == (980, 90)
    # Taking it back debits the payee, so it is not the payer's to do.
    path = f"/transactions/{told_['from']['transactionId']}/reversals"
    assert_problem(by(SHOP, app, "POST", path, {}, str(ObjectId())), 403, "FORBIDDEN")
    path = f"/transactions/{told_['to']['transactionId']}/reversals"
    assert_problem(by(SHOP, app, "POST", path, {}, str(ObjectId())), 403, "FORBIDDEN")
    taken = told(by(SHOP, bound(deployment, payee), "POST", path, {}, str(ObjectId())))
    assert (taken["from"]["ownerUserId"], taken["from"]["availablePaise"]) == (str(payee), 80)
    assert (taken["to"]["ownerUserId"], taken["to"]["availablePaise"]) == (str(payer), None)
    assert check_books(deployment.database, [payer, payee]) == 1070


def test_a_transaction_that_is_not_there_reads_like_another_wallets(
    deployment: Deployment, key: str
) -> None:
    owner, other = purses(deployment.open.ledger, 10, 10)
    theirs = deployment.database["transactions"].find_one({"ownerUserId": other})
    assert theirs is not None
    app, nobodys = bound(deployment, owner), ObjectId()
    details = [
        told(by(SHOP, app, "POST", f"/transactions/{id_}/reversals", {}, key))["detail"]
        for id_ in (theirs["_id"], nobodys)
    ]
    assert details[0].replace(str(theirs["_id"]), str(nobodys)) == details[1]
    assert_problem(
        by(BANK, app, "POST", f"/transactions/{nobodys}/reversals", {}, key),
        *(404, "TRANSACTION_NOT_FOUND"),
    )


def test_amounts_that_the_payer_lacks_tell_nothing_of_what_the_payee_holds(
    deployment: Deployment, key: str
) -> None:
    """Whichever of the two wallets is changed first."""
    first, second = sorted(purses(deployment.open.ledger, 5, 700))
    for payer, payee in ((first, second), (second, first)):
        app = bound(deployment, payer)
        body = {"amountPaise": 2**53 - 1, "type": "payout"}
        parties = {"fromUserId": str(payer), "toUserId": str(payee)}
        refused = by(SHOP, app, "POST", "/transfers", {**body, **parties}, key)
        assert_problem(refused, 409, "INSUFFICIENT_FUNDS", str(payer))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("availablePaise", 7777.5),
        ("availablePaise", "7777"),
        ("version", "7777"),
        ("currency", "7777"),
    ],
)
def test_what_is_wrong_with_anothers_wallet_is_reported_without_its_value(
    deployment: Deployment, field: str, value: Any
) -> None:
    """Whether it is paid, or a payment of its own is taken back."""
    own, other = purses(deployment.open.ledger, 100, 700)
    money = {"amountPaise": 10, "type": "payout"}
    paid = told(
        by(
            *(BANK, deployment.guarded, "POST", "/transfers"),
            {**money, "fromUserId": str(other), "toUserId": str(own)},
            str(ObjectId()),
        )
    )
    deployment.database["wallets"].update_one({"ownerUserId": other}, {"$set": {field: value}})
    app = bound(deployment, own)
    parties = {"fromUserId": str(own), "toUserId": str(other)}
    requests = (
        ("/transfers", {**money, **parties}),
        (f"/transactions/{paid['from']['transactionId']}/reversals", {}),
    )
    before = deployment.stored()
    for path, body in requests:
        refused = by(SHOP, app, "POST", path, body, str(ObjectId()))
        assert_problem(refused, 409, "DOCUMENT_INVALID", f"{field} is of type")
        assert "7777" not in refused.get_data(as_text=True)
        seen = by(BANK, app, "POST", path, body, str(ObjectId()))
        assert_problem(seen, 409, "DOCUMENT_INVALID", f"{field} is ", "7777")
    assert deployment.stored() == before
