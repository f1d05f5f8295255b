"""Walkers with Python's HTTP clients: each asks again and again on a connection of its own.

python3 client.py requests|httpx|aiohttp PLAN, where PLAN is JSON. Prints a line of JSON for each request that failed.
"""

import asyncio
import json
import os
import random
import socket
import ssl
import sys
import threading
import time

PIECES, PIECE = 33, b"z" * 3000


latest = threading.local()


class Noted(socket.socket):
    """Keeps in mind from which port a walker connected last: no library says it of a request that failed."""

    def connect(self, address):
        super().connect(address)
        latest.port = self.getsockname()[1]


def report(identity, error=None, port=None):
    said = {"id": identity, "port": port}
    said.update({"error": error} if error else {"refused": True})
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def slow_body():
    for _ in range(PIECES):
        yield PIECE
        time.sleep(0.01)


def steps(plan, walker):
    for step in range(plan["rounds"]):
        identity = plan["first"] + walker * plan["rounds"] + step
        action = plan["actions"][step % len(plan["actions"])]
        url = f"{'https' if plan['tls'] else 'http'}://{plan['server']}/w{walker}/x{identity}/{action}"
        yield identity, url, action.startswith("upload")


def rest(plan):
    return random.uniform(plan["from"], plan["to"]) / 1000


def walk(plan, walker, ask):
    time.sleep(walker * plan["stagger"] / 1000)
    for identity, url, uploads in steps(plan, walker):
        try:
            if ask(url, uploads) == 413:
                report(identity)
        except Exception as error:  # whatever the library calls it
            report(identity, f"{type(error).__name__} {error}", getattr(latest, "port", None))
        time.sleep(rest(plan))


def with_requests(plan, walker):
    import requests

    session, patience = requests.Session(), plan["patience"] / 1000
    # Certificates that the environment names would be asked for ours otherwise.
    session.trust_env = session.verify = False

    def ask(url, uploads):
        if uploads:
            return session.post(url, data=slow_body(), timeout=patience).status_code
        return session.get(url, timeout=patience).status_code

    walk(plan, walker, ask)


def with_httpx(plan, walker):
    import httpx

    limits = httpx.Limits(keepalive_expiry=60)
    client = httpx.Client(timeout=plan["patience"] / 1000, limits=limits, verify=False)
    length = {"Content-Length": str(PIECES * len(PIECE))}

    def ask(url, uploads):
        if uploads:
            return client.post(url, content=slow_body(), headers=length).status_code
        return client.get(url).status_code

    walk(plan, walker, ask)


async def with_aiohttp(plan, walker):
    import aiohttp

    await asyncio.sleep(walker * plan["stagger"] / 1000)
    timeout = aiohttp.ClientTimeout(total=plan["patience"] / 1000)
    connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        for identity, url, _ in steps(plan, walker):
            try:
                async with session.get(url) as response:
                    await response.read()
            except Exception as error:  # whatever the library calls it
                report(identity, f"{type(error).__name__} {error}")
            await asyncio.sleep(rest(plan))


async def all_with_aiohttp(plan):
    await asyncio.gather(*(with_aiohttp(plan, walker) for walker in range(plan["walkers"])))


def main():
    library, plan = sys.argv[1], json.loads(sys.argv[2])
    if library == "aiohttp":
        asyncio.run(all_with_aiohttp(plan))
        return
    socket.socket = Noted
    # To read all authorities for each connection takes longer than a server waits.
    os.environ["SSL_CERT_FILE"] = os.devnull
    walker = {"requests": with_requests, "httpx": with_httpx}[library]
    threads = [threading.Thread(target=walker, args=(plan, number)) for number in range(plan["walkers"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
