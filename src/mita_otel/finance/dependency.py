"""A FastAPI dependency that says which operation a route is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mita_otel.finance.capture import Category
from mita_otel.finance.facts import local_facts
from mita_otel.finance.names import name_of
from mita_otel.finance.request import RequestState


def request_operation(name: str, category: Category | None = None) -> Callable[[], Awaitable[None]]:
    """Return a dependency that names the operation of the requests it is run for.

    Args:
        name: As in `payment_processing`. It wins over the policy's table of routes and the route's tags.
        category: None: the policy's tables say.

    Example:
        >>> @app.post("/pay", dependencies=[Depends(request_operation("payment_processing"))])
        ... async def pay() -> None: ...
    """

    async def name_the_operation() -> None:
        shared = local_facts().shared
        if isinstance(shared, RequestState):
            shared.name_operation(name, name_of(category))

    return name_the_operation
