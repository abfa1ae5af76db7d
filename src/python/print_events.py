"""Prints a line of JSON an event: python3 print_events.py URL ROOM [OPTIONS as JSON]. For the tests, and to try a server."""
import asyncio
import json
import sys

from fanwire import Client


async def main(url: str, room: str, options: str = "{}") -> None:
    async with Client(url) as client:
        async for event in await client.subscribe(room, **json.loads(options)):
            print(json.dumps({"event": type(event).__name__, **event._asdict()}, default=repr), flush=True)


asyncio.run(main(*sys.argv[1:]))
