"""Large answers are rendered beside the event loop, as all that takes long."""

from __future__ import annotations

from collections.abc import Callable

from app.http.response import JsonResponse
from app.reading.aside import LARGE, Aside
from app.reading.read_pool import Identity


class Renderer:
    def __init__(self, aside: Aside) -> None:
        self._aside = aside

    async def response(self, identity: Identity, bytes_: int, render: Callable[[], bytes]) -> JsonResponse:
        """What ``render`` makes of so many bytes."""
        if bytes_ < LARGE:
            return JsonResponse(render())
        return JsonResponse(await self._aside.on_thread((identity.org_id, identity.token_id), render))
