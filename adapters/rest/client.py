"""The X-Client family (Shandong and others): a static secret, a nonce for each call."""

from __future__ import annotations

import base64
import hmac
import uuid

from adapters.http import HttpDoor
from adapters.rest.signer import Signature, Signer


class XClientSigner(Signer):
    """X-Signature = Base64(HMAC-SHA256(secret, client id + milliseconds + nonce))."""

    def __init__(self, door: HttpDoor, client_id: str, secret: str) -> None:
        super().__init__(door)
        self._client_id = client_id
        self._key = secret.encode()

    async def sign(self, sid: str) -> Signature:  # noqa: ARG002 - only the gateway signs the service
        """The four headers; a nonce is never used twice."""
        stamp, nonce = str(self._door.now_ms()), uuid.uuid4().hex
        digest = hmac.digest(self._key, f"{self._client_id}{stamp}{nonce}".encode(), "sha256")
        headers = {
            "X-Client-Id": self._client_id,
            "X-Timestamp": stamp,
            "X-Nonce": nonce,
            "X-Signature": base64.b64encode(digest).decode(),
        }
        return Signature(headers, skew_ms=self._door.skew_ms)
