"""POST predict under 1, 8 and 32 clients, beside Flask + `model.predict` on the same model, in turns."""

import json
import sys
from pathlib import Path

from bench import load
from bench.installation import Site, running
from bench.pictures import never_twice, photo_like
from scripts.services import free_port

CLIENTS = (1, 8, 32)
ROUNDS = 3
SECONDS = 8


def measure(folder: Path) -> None:
    """Print one line per number of clients: Classifr, Flask, and the ratio of their throughputs."""
    site = Site(folder)
    site.manage("migrate", "--verbosity", "0")
    site.manage("demo")
    token = site.manage("create_token", "demo").strip()
    model = next((folder / "models").rglob("model.keras"))
    size = json.loads((model.parent / "manifest.json").read_text())["input_size"]
    jpeg = photo_like()
    print(f"JPEG 1280 x 960, {len(jpeg) // 1000} KB; medians of {ROUNDS} rounds of {SECONDS} s each\n")
    flask_port = free_port()
    flask = [sys.executable, "-m", "bench.peers.flask_predict", str(model), str(size), str(flask_port)]
    bodies = never_twice(jpeg)
    classifr_headers = {"Authorization": f"Token {token}", "Content-Type": "image/jpeg"}
    with site.serving() as port, running(flask, flask_port, site.environment, "/ready"):
        servers = {
            "Classifr": (port, "/api/v1/projects/dishes/predict", classifr_headers),
            "Flask + model.predict": (flask_port, "/predict", {"Content-Type": "image/jpeg"}),
        }
        for where in servers.values():
            load.run(*where, bodies, clients=2, seconds=3)  # warm up
        print("| clients | server | requests/s | p50 ms | p95 ms | p99 ms | throughput ratio |")
        print("|---|---|---|---|---|---|---|")
        for clients in CLIENTS:
            rounds = [
                {name: load.run(*where, bodies, clients=clients, seconds=SECONDS) for name, where in servers.items()}
                for _round in range(ROUNDS)
            ]
            medians = {name: load.median([each[name] for each in rounds]) for name in servers}
            flask_rate = medians["Flask + model.predict"].per_second
            for name, result in medians.items():
                print(
                    f"| {clients} | {name} | {result.per_second:.1f} | {result.p50:.0f} | {result.p95:.0f} "
                    f"| {result.p99:.0f} | {result.per_second / flask_rate:.1f} |",
                    flush=True,
                )
