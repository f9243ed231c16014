# mypy: ignore-errors
"""Bearer tokens, kept as hashes; the user carries the org that scopes every query."""

import hashlib

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from tests.bench.peer.models import Token


class HashedToken(BaseAuthentication):
    def authenticate(self, request):
        scheme, _, secret = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        token = Token.objects.select_related("user__org").filter(pk=hashlib.sha256(secret).hexdigest()).first()
        if token is None or not token.user.active:
            raise AuthenticationFailed
        return token.user, token

    def authenticate_header(self, request):
        return "Bearer"
