"""Measure Classifr beside what a user would pick instead: `make bench`, or `python -m bench.run serving` for one part.

Everything is measured in one run on one machine, in turns, and compared as ratios. bench/README.md keeps the newest
figures and says how they are made.
"""

import argparse
import importlib
import os
import platform
import tempfile
from pathlib import Path

PARTS = {
    "serving": "requests per second and latencies of POST predict, beside Flask + model.predict",
    "request": "where each millisecond of a POST predict goes",
    "learning": "add_category and retrain for 50 new pictures in a project of 1,000",
    "pages": "history and review pages with 10,000 and with 1,000,000 predictions in PostgreSQL",
}
MODULES = {"request": "request_profile"}  # where a part's module is not called like the part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all of them by default")
    parts = parser.parse_args().parts or list(PARTS)
    for part in parts:
        if part not in PARTS:
            parser.error(f"there is no part “{part}”; there are: {', '.join(PARTS)}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    for part in parts:
        print(f"## {part}: {PARTS[part]}\n", flush=True)
        with tempfile.TemporaryDirectory(prefix=f"classifr-bench-{part}-", ignore_cleanup_errors=True) as folder:
            importlib.import_module(f"bench.{MODULES.get(part, part)}").measure(Path(folder))
        print(flush=True)


if __name__ == "__main__":
    main()
