"""Tokens as a function gets them: verified by Cloud Run, which has taken the signature off."""

from __future__ import annotations

import base64
import json
from typing import Any


def bearer(account: str, **claims: Any) -> str:
    """The value of a header; `claims` come beside the account's."""
    content = {"email": account, "email_verified": True, **claims}
    body = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    return f"Bearer eyJhbGciOiJSUzI1NiJ9.{body}.SIGNATURE_REMOVED_BY_GOOGLE"
