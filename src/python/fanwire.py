"""A fanwire client in one file: PROTOCOL.md, resume included. Needs the packages websockets (10 or later) and msgpack.

    async with Client("ws://127.0.0.1:9001/ws") as client:
        await client.publish("chat.hello", {"text": "hi"})
        async for event in await client.subscribe("market.fx", state=True):
            if isinstance(event, Message): print(event.key, event.data)

It reconnects by itself and resumes every subscription; what it cannot get back it tells (Lost).
"""
import asyncio
import random
from collections import namedtuple
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, AsyncIterator, Awaitable, Callable, Optional

import msgpack
import websockets

SUBSCRIBE, UNSUBSCRIBE, PUBLISH, AUTHENTICATE, PING = 1, 2, 3, 4, 7
WELCOME, OK, ERROR, MESSAGE, LIVE, LAGGED, RESET, GOAWAY = 16, 17, 18, 19, 20, 21, 22, 24
WAITING_MAX = 1_000  # Events for the reader of a subscription. Beyond them nothing is read from the socket.

# Time is in ms since 1970, when the broker took it; offsets increase, but in a room without numbering they are 0.
Message = namedtuple("Message", "room offset time data key")
Live = namedtuple("Live", "room")  # What was kept is here; what follows is live.
Lost = namedtuple("Lost", "room reason")  # Messages are missing before what follows (expired, epoch, purged): fetch the state anew.


class Failed(Exception):
    """A request or subscription was refused or ended. args: a code of PROTOCOL.md or "unknown" (no answer came), and a text."""


@dataclass(eq=False)
class Subscription:
    """Iterate over it for its events, in order. Raises Failed where the server has ended it."""
    room: str
    options: dict
    epoch: str = ""  # empty: nothing is known, or the room has no numbering
    offset: int = 0
    ref: int = 0  # of the subscribe that waits for its answer; 0: none does
    events: asyncio.Queue = field(default_factory=lambda: asyncio.Queue(WAITING_MAX))

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (event := await self.events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event


class Client:
    """`token` is called for a fresh token before every connection, and when the one in use is about to expire."""
    def __init__(self, url: str, token: Optional[Callable[[], Awaitable[str]]] = None) -> None:
        self._url, self._token = url, token
        self._rooms: dict[str, Subscription] = {}
        self._asked: dict[int, asyncio.Future] = {}
        self._tasks: set[asyncio.Task] = set()
        self._welcomed = asyncio.Event()
        self._ref = self._attempt = 0
        self._over: Optional[Exception] = None

    async def __aenter__(self) -> "Client":
        self._start(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def subscribe(self, room: str, **options: Any) -> Subscription:
        """Options: last=n, state=True, rate=hz, echo=False. A second subscription to a room takes the place of the first."""
        await self.unsubscribe(room)
        sub = self._rooms[room] = Subscription(room, options)
        if self._welcomed.is_set():
            await self._ask(sub)
        return sub

    async def unsubscribe(self, room: str) -> None:
        if sub := self._rooms.pop(room, None):
            self._start(sub.events.put(None))
            if self._welcomed.is_set():
                await self._send([UNSUBSCRIBE, 0, room])

    async def publish(self, room: str, data: Any, key: Optional[str] = None) -> dict:
        """Returns {"epoch", "offset"} once it is stored, else raises Failed; with code "unknown" it may have been stored."""
        while not self._welcomed.is_set():
            await self._welcomed.wait()
        if self._over is not None:
            raise self._over
        self._ref += 1
        answer = self._asked[self._ref] = asyncio.get_running_loop().create_future()
        await self._send([PUBLISH, self._ref, room, data, key])
        return await answer

    def _start(self, work: Any) -> asyncio.Task:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(self, value: list) -> None:
        with suppress(websockets.ConnectionClosed):  # Who reads sees it too, and settles what waits.
            await self._socket.send(msgpack.packb(value))

    async def _ask(self, sub: Subscription, after_seconds: float = 0) -> None:
        """Subscribes, or resumes where something is known."""
        await asyncio.sleep(after_seconds)
        if not self._welcomed.is_set() or self._rooms.get(sub.room) is not sub:
            return
        options = sub.options
        if sub.epoch != "":
            options = {name: value for name, value in options.items() if name not in ("last", "state")}
            options["after"] = [sub.epoch, sub.offset]
        self._ref += 1
        sub.ref = self._ref
        await self._send([SUBSCRIBE, sub.ref, sub.room, options])

    async def _run(self) -> None:
        try:
            while (code := await self._connection()) not in (4400, 4403):
                await asyncio.sleep(self._wait)
            self._over = Failed("closed", f"the server closed the connection for good, with {code}")
        except Exception as cause:  # Of `token`, for instance: whoever waits for something is told.
            self._over = cause
        self._welcomed.set()
        for sub in self._rooms.values():
            await sub.events.put(self._over)

    def _unanswered(self) -> None:
        while self._asked:
            _, answer = self._asked.popitem()
            answer.set_exception(Failed("unknown", "no answer came, and none will"))

    async def _connection(self) -> int:
        """One connection from its start to its end, of which it returns the code."""
        self._wait = random.uniform(0, min(30, 0.5 * 2**self._attempt))
        self._attempt += 1
        self._socket = pinging = None
        offered = ["fanwire.v1"] + ([f"token.{await self._token()}"] if self._token else [])
        with suppress(OSError, asyncio.TimeoutError, websockets.WebSocketException):  # The code says how it ended.
            async with websockets.connect(self._url, subprotocols=offered, compression=None, max_size=None) as self._socket:
                pinging = self._start(self._ping())
                async for data in self._socket:
                    values = msgpack.Unpacker(strict_map_key=False)
                    values.feed(data)
                    for value in values:
                        await self._take(*value)
        if pinging is not None:
            pinging.cancel()
        self._welcomed.clear()
        self._unanswered()
        return getattr(self._socket, "close_code", None) or 1006

    async def _ping(self) -> None:
        await self._welcomed.wait()
        while True:
            await asyncio.sleep(self._ping_seconds * random.uniform(0.7, 0.95))
            await self._send([PING, 0])

    async def _take(self, code: int, *value: Any) -> None:
        if code == WELCOME:
            self._ping_seconds, self._attempt = value[0]["pingMs"] / 1000, 0
            self._welcomed.set()
        if code in (WELCOME, LAGGED):
            self._unanswered()
            for sub in list(self._rooms.values()):
                await self._ask(sub)
        elif code == GOAWAY:
            self._wait = value[1] / 1000
            self._start(self._socket.close())
        elif code in (OK, ERROR):
            await (self._ok if code == OK else self._error)(*value)
        elif code in (MESSAGE, LIVE, RESET) and (sub := self._rooms.get(value[0])):
            if code == RESET:
                _, sub.epoch, sub.offset, reason = value[:4]
                await sub.events.put(Lost(sub.room, reason))
            elif code == LIVE and sub.ref == 0:
                sub.offset = max(sub.offset, value[1])
                await sub.events.put(Live(sub.room))
            elif code == MESSAGE and sub.ref == 0:  # Else it is from before the subscribe that is under way.
                await self._message(sub, *value[1:])

    async def _message(self, sub: Subscription, offset: int, prev: int, time: int, data: Any, key: Any = None, *_: Any) -> None:
        if offset > sub.offset and prev > sub.offset:
            await self._ask(sub)  # A hole: it is filled from where this stands.
        elif offset == 0 or offset > sub.offset:
            sub.offset = offset
            await sub.events.put(Message(sub.room, offset, time, data, key))

    async def _ok(self, ref: int, result: Any = None, *_: Any) -> None:
        if answer := self._asked.pop(ref, None):
            answer.set_result(result)
        for sub in [sub for sub in self._rooms.values() if ref != 0 and sub.ref == ref]:
            if sub.epoch != "" and not result["recovered"]:
                await sub.events.put(Lost(sub.room, "expired" if sub.epoch == result["epoch"] else "epoch"))
            sub.epoch, sub.offset, sub.ref = result["epoch"], result["offset"], 0

    async def _error(self, ref: int, code: str, text: str, retry_ms: Any = None, room: Any = None, *_: Any) -> None:
        if answer := self._asked.pop(ref, None):
            answer.set_exception(Failed(code, text))
        if ref == 0 and room is None and code == "unauthenticated" and self._token:
            await self._send([AUTHENTICATE, 0, await self._token()])
        for sub in [sub for sub in self._rooms.values() if (sub.room == room if ref == 0 else sub.ref == ref)]:
            if retry_ms is not None:
                self._start(self._ask(sub, retry_ms / 1000))
            else:
                del self._rooms[sub.room]
                await sub.events.put(Failed(code, text))

