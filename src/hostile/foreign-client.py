"""A client that others wrote: Debian's python3-websockets, with no code of this project. Prints one JSON object a check."""

import asyncio
import json
import sys

import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatusCode

URL = sys.argv[1]
JSON_WIRE = ["fanwire.v1.json"]
BINARY_WIRE = ["fanwire.v1"]


def connect(protocols=JSON_WIRE, **options):
    return websockets.connect(URL, subprotocols=protocols, open_timeout=20, close_timeout=10, **options)


async def values(ws, wanted):
    """Reads until a value begins with the code that is wanted."""
    while True:
        message = await asyncio.wait_for(ws.recv(), 20)
        for line in message.split("\n"):
            if line and json.loads(line)[0] == wanted:
                return json.loads(line)


async def subprotocols():
    async with connect() as ws:
        first = ws.subprotocol
    async with connect(["unknown", *BINARY_WIRE]) as ws:
        second = ws.subprotocol
        welcome = await ws.recv()
    async with connect(None) as ws:
        none = ws.subprotocol
    try:
        async with connect(["unknown"]):
            refused = 101
    except InvalidStatusCode as error:
        refused = error.status_code
    return [first, second, isinstance(welcome, bytes), none, refused]


async def compression_is_declined():
    async with connect(compression="deflate") as ws:
        await ws.send("[7,1]")
        await values(ws, 17)
        return [type(extension).__name__ for extension in ws.extensions]


async def fragments():
    """A message in three fragments, cut within a character, with a ping between."""

    async def parts():
        yield '[3,1,"cursors.py","gr'
        pong = await ws.ping()
        await asyncio.wait_for(pong, 20)
        yield "üß"
        yield ' Gott"]\n[7,2]'

    async with connect() as ws:
        await ws.send('[1,9,"cursors.py"]')
        await values(ws, 20)
        await ws.send(parts())
        message = await values(ws, 19)
        return message[5]


async def large():
    """The largest data that may be, whole, and one byte more, which is told and costs nothing else."""
    async with connect() as ws:
        await ws.send('[1,9,"cursors.big"]')
        await values(ws, 20)
        await ws.send(json.dumps([3, 1, "cursors.big", "x" * 15000]))
        size = len((await values(ws, 19))[5])
        await ws.send("[7,2]" + " " * 20000)
        error = await values(ws, 18)
        await ws.send("[7,3]")
        alive = await values(ws, 17)
        while alive[1] != 3:
            alive = await values(ws, 17)
        return [size, error[2], alive[1]]


async def cut():
    """Far above the limit the connection ends."""
    async with connect() as ws:
        try:
            await ws.send("x" * 300000)
            while True:
                await asyncio.wait_for(ws.recv(), 20)
        except ConnectionClosed:
            return True


async def close_handshake():
    """Our close is answered with its code; the server's own comes with code and reason."""
    async with connect() as ws:
        await ws.recv()
        await ws.close(1000, "done")
        ours = ws.close_code
    async with connect(BINARY_WIRE) as ws:
        await ws.send(b"\xc1")
        try:
            while True:
                await asyncio.wait_for(ws.recv(), 20)
        except ConnectionClosed as error:
            theirs = [error.rcvd.code, len(error.rcvd.reason) > 5]
    return [ours, theirs]


async def utf8():
    """Bytes that are no UTF-8 end the connection, in one frame or cut apart; any character goes through."""
    codes = []
    for part in (b"[7,1,\xff]", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"):
        async with connect() as ws:
            await ws.recv()
            await ws.write_frame(True, 1, part)
            try:
                while True:
                    await asyncio.wait_for(ws.recv(), 20)
            except ConnectionClosed:
                codes.append(True)
    text = "aé€😀\u0000\u2028"
    async with connect() as ws:
        await ws.send('[1,9,"cursors.utf8"]')
        await values(ws, 20)
        await ws.send(json.dumps([3, 1, "cursors.utf8", text], ensure_ascii=False))
        back = (await values(ws, 19))[5]
    return [codes, back == text]


async def pings():
    async with connect() as ws:
        for size in (0, 1, 125):
            await asyncio.wait_for(await ws.ping(b"x" * size), 20)
        return True


async def main():
    checks = [subprotocols, compression_is_declined, fragments, large, cut, close_handshake, utf8, pings]
    for check in checks:
        try:
            found = await asyncio.wait_for(check(), 60)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        print(json.dumps({"check": check.__name__, "found": found}), flush=True)


asyncio.run(main())
