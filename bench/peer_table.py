"""Classifr beside servers made for models, on the same Keras model and the same JPEG: `make
bench-peers`.

Each server runs alone beside an idle Classifr, which is measured before and after it. A second
table gives the peers the same LiteRT file and scaled decoding as Classifr has, which is what they
could reach.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import models, servers
from bench.environments import NotInstalled
from bench.installation import NeverAnswered
from bench.models import Served
from bench.pictures import photo_like
from bench.servers import Measured, Server
from bench.serving import median

PEERS = (servers.FASTAPI, servers.LITSERVE, servers.BENTOML, servers.MLSERVER, servers.RAY)
CLIENTS = 8
SECONDS = 6


def measure(folder: Path, *, quick: bool = False) -> None:
    """Print a row for each peer, or why there is none."""
    jpeg = photo_like()
    served = models.large(folder)
    seconds = 2 if quick else SECONDS
    with servers.classifr(served, jpeg) as ours:
        ours.ask(clients=CLIENTS, seconds=2)  # warm up
        for compiled in (False, True):
            what = (
                "the same LiteRT file, scaled while decoding"
                if compiled
                else "the same Keras model"
            )
            print(f"### Peers on {what}, {CLIENTS} clients\n")
            print(
                "| server | requests/s | p50 ms | p99 ms | CPU ms | MiB | ready s | Classifr/s | "
                "ratio | by CPU |"
            )
            print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
            for line in _rows(ours, served, jpeg, seconds, compiled=compiled):
                print(line, flush=True)
            print()


def _rows(
    ours: Server, served: Served, jpeg: bytes, seconds: float, *, compiled: bool
) -> Iterator[str]:
    before = ours.ask(clients=CLIENTS, seconds=seconds / 2)
    for which in PEERS:
        try:
            with servers.peer(which, served, jpeg, compiled=compiled) as server:
                server.ask(clients=CLIENTS, seconds=2)  # warm up
                found = server.ask(clients=CLIENTS, seconds=seconds)
                mebibytes, ready_after = server.mebibytes(), server.ready_after
        except (NotInstalled, NeverAnswered, RuntimeError) as error:
            yield f"| {which.name} | not measured: {error} | | | | | | | | |"
            continue
        after = ours.ask(clients=CLIENTS, seconds=seconds / 2)
        yield row(which.name, found, [before, after], mebibytes, ready_after)
        before = after


def row(
    name: str, found: Measured, around: Sequence[Measured], mebibytes: float, ready_after: float
) -> str:
    """Return the line of a peer, compared with Classifr as it was just before and just after."""
    ours, seen = median(around), found.load
    cells = [
        name,
        f"{seen.per_second:.1f}",
        f"{seen.p50:.0f}",
        f"{seen.p99:.0f}",
        f"{found.cpu_ms:.1f}",
        f"{mebibytes:.0f}",
        f"{ready_after:.1f}",
        f"{ours.load.per_second:.1f}",
        f"{ours.load.per_second / seen.per_second:.1f}",
        f"{found.cpu_ms / ours.cpu_ms:.1f}",
    ]
    return f"| {' | '.join(cells)} |"
