"""A closed-loop load: N clients, each with one connection, each sending its next request when the last is answered."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Load:
    """What a server did under a load: answers per second, and the latencies' percentiles in milliseconds."""

    per_second: float
    p50: float
    p95: float
    p99: float


def run(
    port: int, path: str, headers: dict[str, str], bodies: Iterator[bytes], *, clients: int, seconds: float
) -> Load:
    """Send requests for some seconds.

    Raises:
        RuntimeError: at the first answer that is no success: a server that refuses quickly must not look fast.
    """
    lock = threading.Lock()
    latencies: list[float] = []
    failures: list[str] = []
    ends_at = time.perf_counter() + seconds

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while time.perf_counter() < ends_at and not failures:
            with lock:
                body = next(bodies)
            started = time.perf_counter()
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            took = time.perf_counter() - started
            if answer.status >= 300:
                failures.append(f"{path} answered {answer.status}: {text[:300]!r}")
                return
            latencies.append(took * 1000)
        connection.close()

    started = time.perf_counter()
    _together([client] * clients)
    elapsed = time.perf_counter() - started
    if failures or not latencies:
        raise RuntimeError(failures[0] if failures else f"{path} answered nothing")
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99])
    return Load(len(latencies) / elapsed, float(p50), float(p95), float(p99))


def median(loads: Sequence[Load]) -> Load:
    """Return the medians of several rounds, figure by figure."""
    return Load(*(float(np.median([getattr(load, name) for load in loads])) for name in Load.__annotations__))


def _together(functions: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
