"""Pictures and an address in; how fast a number of clients got their answers, each asking again once it has one, out.

`load` runs this file as a program in a process of its own, so that clients and server share nothing but the machine.
The clients are as light as clients can be, a parser of C on asyncio's own protocols: what they take, the server lacks.
"""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import httptools
import numpy as np
import uvloop

BOUNDARY = "7d1f0c5e8a9b4c3d"
PATIENCE = 60.0  # seconds for the last answer


def load(url: str, path: str, pictures: Path, clients: int, seconds: float, warm_up: float) -> dict[str, Any]:
    """What `clients` at once get from `url` + `path`, for `seconds` after `warm_up`.

    Args:
        pictures: a .npz with the content of files, `files`, and the class that is to be answered for each, `expected`.

    Returns:
        `pictures_per_second`, `milliseconds` (p50, p95, p99), `answers` that came in that time, and how many of all
        were `failed`, another status than 200, or `wrong`, another class than expected.
    """
    job = {"url": url, "path": path, "pictures": str(pictures)}
    job |= {"clients": clients, "seconds": seconds, "warm_up": warm_up}
    done = subprocess.run([sys.executable, __file__, json.dumps(job)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the load generator ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return dict(json.loads(done.stdout))


class Client(asyncio.Protocol):
    """One client on one connection: asks, waits for the answer, asks again."""

    def __init__(self, requests: list[bytes], first: int, end: float) -> None:
        self.requests, self.number, self.end = requests, first, end
        self.answers: list[tuple[float, float, int, int, bytes]] = []  # asked, answered, picture, status, body
        self.left = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected: ask for the first time."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it
        self._ask()

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """A part of an answer's body."""
        self._body += body

    def on_message_complete(self) -> None:
        """An answer: note it, and ask again while there is time."""
        now = time.perf_counter()
        status = self._parser.get_status_code()
        self.answers.append((self._asked, now, self.number, status, self._body))
        if now < self.end:
            self.number = (self.number + 1) % len(self.requests)
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed: by this client in the end, or by the server, which is a failure."""
        if time.perf_counter() < self.end:
            self.answers.append((self._asked, time.perf_counter(), self.number, 0, b""))
        if not self.left.done():
            self.left.set_result(None)

    def _ask(self) -> None:
        self._body = b""
        self._asked = time.perf_counter()
        self._transport.write(self.requests[self.number])


def request(host: str, path: str, content: bytes) -> bytes:
    """The bytes of a request that sends one picture."""
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="picture.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode() + content
    body += f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(job: dict[str, Any], requests: list[bytes]) -> tuple[list[Client], float]:
    """The clients after their work, and when what counts began."""
    loop = asyncio.get_running_loop()
    host, _, port = job["url"].rpartition("/")[2].rpartition(":")
    begin = time.perf_counter() + job["warm_up"]
    apart = len(requests) / job["clients"]  # each begins at another picture
    clients = [Client(requests, int(number * apart), begin + job["seconds"]) for number in range(job["clients"])]
    for client in clients:
        await loop.create_connection(lambda client=client: client, host, int(port))
    async with asyncio.timeout(job["warm_up"] + job["seconds"] + PATIENCE):
        await asyncio.gather(*(client.left for client in clients))
    return clients, begin


def summary(clients: list[Client], begin: float, seconds: float, expected: list[int]) -> dict[str, Any]:
    """What they noted, in numbers."""
    answers = [answer for client in clients for answer in client.answers]
    counted = [after - before for before, after, *_ in answers if begin <= after < begin + seconds]
    p50, p95, p99 = (1e3 * np.percentile(counted, (50, 95, 99))).tolist() if counted else (None,) * 3
    good = [(number, json.loads(body)) for _, _, number, status, body in answers if status == 200]
    return {
        "pictures_per_second": len(counted) / seconds,
        "milliseconds": {"p50": p50, "p95": p95, "p99": p99},
        "answers": len(counted),
        "failed": len(answers) - len(good),
        "wrong": sum(body.get("results", [body])[0]["index"] != expected[number] for number, body in good),
    }


def main() -> None:
    """Do the job of the command line; the summary goes to standard output."""
    job = json.loads(sys.argv[1])
    with np.load(job["pictures"]) as pictures:
        ends, content = np.cumsum(pictures["sizes"]), pictures["content"].tobytes()
        expected = pictures["expected"].tolist()
    files = [content[end - size : end] for end, size in zip(ends, np.diff(ends, prepend=0), strict=True)]
    host = job["url"].partition("://")[2]
    requests = [request(host, job["path"], file) for file in files]
    clients, begin = uvloop.run(ask(job, requests))
    print(json.dumps(summary(clients, begin, job["seconds"], expected)))


if __name__ == "__main__":
    main()
