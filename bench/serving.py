"""POST predict under load beside the bare loop and what tutorials build: the same model, the same
JPEG, in turns.

The main table is of MobileNetV3-Large at 224 pixels; a short one follows for the demo's int8
model.
"""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import bare_loop, load, models, servers
from bench.bare_loop import Bare
from bench.environments import NotInstalled
from bench.installation import NeverAnswered
from bench.models import Served
from bench.pictures import photo_like
from bench.servers import Measured, Peer, Server

CLASSIFR = "Classifr"
RATIOS_AT = 8  # clients
LOOPS = {"bare loop": False, "bare loop, scaled while decoding": True}


@dataclass(frozen=True)
class Effort:
    """How much is measured: for each number of clients so many rounds, each of some seconds."""

    rounds: Mapping[int, int]
    seconds: float


# More where ratios are of: a machine's speed can change within minutes, and the median of short
# turns sees less of that
FULL = Effort(rounds={1: 2, RATIOS_AT: 7, 32: 2}, seconds=4)
SHORT = Effort(rounds={RATIOS_AT: 5}, seconds=3)
QUICK = Effort(rounds={RATIOS_AT: 1}, seconds=3)


def measure(folder: Path, *, quick: bool = False) -> None:
    """Print the tables of both models."""
    jpeg = photo_like()
    print(f"JPEG 1280 x 960, {len(jpeg) // 1000} KB, no two alike for Classifr.\n")
    picture = folder / "picture.jpg"
    picture.write_bytes(jpeg)
    print("### MobileNetV3-Large, 224 px\n", flush=True)
    _compare(
        models.large(folder), picture, [servers.FLASK, servers.FASTAPI], QUICK if quick else FULL
    )
    print("\n### The demo's model: `lite0`, 224 px, int8\n", flush=True)
    # What tutorials load is a Keras model, and this one has none
    _compare(models.demo(folder), picture, [], QUICK if quick else SHORT)


def _compare(served: Served, picture: Path, peers: Sequence[Peer], effort: Effort) -> None:
    jpeg = picture.read_bytes()
    with ExitStack() as stack:
        running = [stack.enter_context(servers.classifr(served, jpeg))]
        for peer in peers:
            try:
                running.append(stack.enter_context(servers.peer(peer, served, jpeg)))
            except (NotInstalled, NeverAnswered) as error:
                print(f"Not measured: {peer.name}: {error}\n")
        for server in running:
            server.ask(clients=RATIOS_AT, seconds=2)  # warm up
        print_head()
        loops: dict[str, list[Bare]] = {name: [] for name in LOOPS}
        for clients, turns in effort.rounds.items():
            rounds: dict[str, list[Measured]] = {server.name: [] for server in running}
            for _turn in range(turns):
                for server in running:
                    rounds[server.name].append(server.ask(clients=clients, seconds=effort.seconds))
                if clients == RATIOS_AT:
                    for name, draft in LOOPS.items():
                        model, seconds = served.compiled_model, effort.seconds
                        loops[name].append(
                            bare_loop.run(model, picture, draft=draft, seconds=seconds)
                        )
            medians = {name: median(found) for name, found in rounds.items()}
            for name, found in medians.items():
                print_row(name, clients, found)
            if clients == RATIOS_AT:
                at_ratios = medians
        bare = {name: median_of_loops(found) for name, found in loops.items()}
        for name, loop in bare.items():
            print(f"| – | {name} | {loop.per_second:.1f} | – | – | – | – | {loop.cpu_ms:.1f} |")
        _print_ratios(at_ratios, bare)
        _print_costs(running)


def median(found: Sequence[Measured]) -> Measured:
    """Return the medians of several rounds."""
    return Measured(
        load.median([one.load for one in found]), statistics.median(one.cpu_ms for one in found)
    )


def median_of_loops(found: Sequence[Bare]) -> Bare:
    return Bare(
        *(
            statistics.median(getattr(one, name) for one in found)
            for name in ("per_second", "cpu_ms")
        )
    )


def print_head() -> None:
    print(
        "| clients | server | requests/s | p50 ms | p95 ms | p99 ms | p99/p50 | CPU ms per request "
        "|"
    )
    print("|--:|---|--:|--:|--:|--:|--:|--:|")


def print_row(name: str, clients: int, found: Measured) -> None:
    seen = found.load
    figures = (
        f"{seen.per_second:.1f} | {seen.p50:.0f} | {seen.p95:.0f} | {seen.p99:.0f} | "
        f"{seen.p99 / seen.p50:.1f}"
    )
    print(f"| {clients} | {name} | {figures} | {found.cpu_ms:.1f} |", flush=True)


def _print_ratios(medians: Mapping[str, Measured], bare: Mapping[str, Bare]) -> None:
    """Print how many times as fast Classifr is; by processor time the ratio holds on a busy
    machine, too.
    """
    ours = medians[CLASSIFR]
    print(f"\n| Classifr, {RATIOS_AT} clients, compared with | by requests/s | by CPU time |")
    print("|---|--:|--:|")
    rates = {name: (loop.per_second, loop.cpu_ms) for name, loop in bare.items()}
    rates |= {
        name: (found.load.per_second, found.cpu_ms)
        for name, found in medians.items()
        if name != CLASSIFR
    }
    for name, (per_second, cpu_ms) in rates.items():
        print(f"| {name} | {ours.load.per_second / per_second:.2f} | {cpu_ms / ours.cpu_ms:.2f} |")
    print(
        f"\nThe clients themselves took {ours.load.client_ms:.2f} ms of CPU for a request to "
        f"Classifr."
    )


def _print_costs(running: Sequence[Server]) -> None:
    print("\n| server | seconds from start to the first answer | MiB in all its processes |")
    print("|---|--:|--:|")
    for server in running:
        print(f"| {server.name} | {server.ready_after:.1f} | {server.mebibytes():.0f} |")
    workers = ", ".join(f"{size:.0f}" for size in running[0].web_workers())
    print(
        f"\nMiB of each web worker of Classifr after the load (proportional set size): {workers}."
    )
