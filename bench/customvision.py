"""`classify/iterations/NAME/image/nostore` beside POST predict, on one server and one model, in
turns.
"""

import json
import statistics
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import models, servers
from bench.load import Address
from bench.pictures import photo_like
from bench.servers import Measured, Server

CLIENTS = (1, 8)
ROUNDS = 3
SECONDS = 6
NOSTORE, PREDICT = "image/nostore", "POST predict"


def measure(folder: Path) -> None:
    """Print requests per second and CPU per request of both, and the ratio of the latter (1 or less
    is the aim).
    """
    served = models.demo(folder)
    token = served.site.manage("create_token", "maintainer").strip()
    with servers.classifr(served, photo_like()) as predict:
        both = {
            NOSTORE: replace(predict, address=_nostore(predict.address.port, token)),
            PREDICT: predict,
        }
        for server in both.values():
            server.ask(clients=2, seconds=3)  # warm up
        print(
            "| clients | request | requests/s | CPU ms per request | CPU, as a part of POST "
            "predict |"
        )
        print("|---|---|---|---|---|")
        for clients in CLIENTS:
            _compare(both, clients)


def _compare(both: dict[str, Server], clients: int) -> None:
    rounds: dict[str, list[Measured]] = {name: [] for name in both}
    for _round in range(ROUNDS):
        for name, server in both.items():
            rounds[name].append(server.ask(clients=clients, seconds=SECONDS))
    cpu = {name: statistics.median(one.cpu_ms for one in found) for name, found in rounds.items()}
    for name, found in rounds.items():
        rate = statistics.median(one.load.per_second for one in found)
        print(
            f"| {clients} | {name} | {rate:.1f} | {cpu[name]:.1f} | {cpu[name] / cpu[PREDICT]:.2f} "
            f"|",
            flush=True,
        )


def _nostore(port: int, token: str) -> Address:
    """Publish the demo's model under the name `bench`; return where it classifies without
    storing.
    """

    def ask(method: str, path: str) -> Any:
        address = f"http://127.0.0.1:{port}/customvision/v3.3/training/projects{path}"
        request = urllib.request.Request(address, method=method, headers={"Training-Key": token})  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    project = ask("GET", "")[0]["id"]
    iteration = ask("GET", f"/{project}/iterations")[-1]["id"]
    ask("POST", f"/{project}/iterations/{iteration}/publish?publishName=bench&predictionId=bench")
    path = f"/customvision/v3.1/prediction/{project}/classify/iterations/bench/image/nostore"
    return Address(
        port, path, {"Content-Type": "application/octet-stream", "Prediction-Key": token}
    )
