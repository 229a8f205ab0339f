"""What the calls of all nouns share."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeVar

from nanobanana_client.decoding import decode
from nanobanana_client.models import Page, Pagination, SearchPagination
from nanobanana_client.transport import Answer, Transport

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Resource:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def _get(self, path: str, **query: Any) -> Any:
        return (await self._transport.call("GET", path, query=query)).body

    async def _post(self, path: str, body: object = None, **options: Any) -> Any:
        return (await self._transport.call("POST", path, json=body, **options)).body

    async def _put(self, path: str, body: object, **options: Any) -> Any:
        return (await self._transport.call("PUT", path, json=body, **options)).body

    async def _delete(self, path: str, **options: Any) -> Any:
        return (await self._transport.call("DELETE", path, **options)).body

    async def _page(self, path: str, name: str, kind: type[T], **query: Any) -> Page[T]:
        return page_of(await self._transport.call("GET", path, query=query), name, kind)


def page_of(answer: Answer, name: str, kind: type[T]) -> Page[T]:
    items = [decode(kind, item) for item in answer.body[name]]
    return Page(items, decode(Pagination, answer.body["pagination"]), answer.sync_cursor)


class AnyPage(Protocol[T_co]):
    @property
    def pagination(self) -> Pagination | SearchPagination: ...

    def __iter__(self) -> Iterator[T_co]: ...


async def each_of(read: Callable[..., Awaitable[AnyPage[T]]], **query: Any) -> AsyncIterator[T]:
    """All items of a list, page after page; right also when objects come and go meanwhile."""
    while True:
        page = await read(**query)
        for item in page:
            yield item
        if page.pagination.next_cursor is None:
            return
        query["cursor"] = page.pagination.next_cursor


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are set: what is None stays as it is."""
    return {name: value for name, value in fields.items() if value is not None}
