"""Measure Classifr beside what a user would pick instead: `make bench`, or `python -m bench.run
serving` for one part.

Parts that need more than the project's own environment (`peers`, `engines`) or much time (`memory`)
run only when they are named.

Everything is measured in one run on one machine, in turns, and compared as ratios. bench/README.md
keeps the newest figures and says how they are made.
"""

import argparse
import importlib
import os
import platform
import tempfile
from pathlib import Path

PARTS = {
    "serving": "requests per second and latencies of POST predict, beside the bare loop, Flask and "
    "FastAPI",
    "customvision": "classifying without storing by the Custom Vision API, beside POST predict",
    "request": "where each millisecond of a POST predict goes",
    "learning": "add_category and retrain for 50 new pictures in a project of 1,000",
    "pages": "history, review and sample pages with 10,000 and 1,000,000 predictions in PostgreSQL",
    "memory": "peak memory per byte of a body, at every door, for bodies that are dear to read",
    "dearest": "CPU and memory of the dearest pictures that are accepted, beside a plain one",
    "peers": "POST predict beside FastAPI, LitServe, BentoML, MLServer and Ray Serve",
    "engines": "LiteRT, OpenVINO and ONNX Runtime, float32 and int8: speed, memory, accuracy",
}
# Where a part's module is not called like the part
MODULES = {"peers": "peer_table", "request": "request_profile"}
ON_REQUEST = {"memory", "peers", "engines"}
SHORTER = {"serving", "memory", "peers", "engines"}  # parts that know --quick
CHECKED = {"memory", "dearest"}  # parts that know --check


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"{', '.join(PARTS)}; all but {' and '.join(sorted(ON_REQUEST))} by default",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="short rounds of serving, memory and peers: to see that it works",
    )
    parser.add_argument("--check", action="store_true", help="fail where a limit is exceeded")
    options = parser.parse_args()
    parts = options.parts or [part for part in PARTS if part not in ON_REQUEST]
    for part in parts:
        if part not in PARTS:
            parser.error(f"there is no part “{part}”; there are: {', '.join(PARTS)}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    for part in parts:
        print(f"## {part}: {PARTS[part]}\n", flush=True)
        with tempfile.TemporaryDirectory(
            prefix=f"classifr-bench-{part}-", ignore_cleanup_errors=True
        ) as folder:
            part_module = importlib.import_module(f"bench.{MODULES.get(part, part)}")
            quick = {"quick": True} if options.quick and part in SHORTER else {}
            check = {"check": True} if options.check and part in CHECKED else {}
            part_module.measure(Path(folder), **quick, **check)
        print(flush=True)


if __name__ == "__main__":
    main()
