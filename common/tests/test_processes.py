"""A web process uses its memory again instead of asking for fresh pages at every picture."""

import platform
import subprocess
import sys

import pytest

ROUNDS = 10
FEED_AND_FORGET = f"""
import resource
from common import processes

def a_few_pictures():
    for _round in range({ROUNDS}):
        decoded = [bytearray(b"1") * (3 * 2**20) for _picture in range(4)]
        del decoded

SETTING
a_few_pictures()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
a_few_pictures()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(setting: str) -> int:
    """Return how many pages the kernel had to give while pictures came and went."""
    program = FEED_AND_FORGET.replace("SETTING", setting)
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, text=True, stdout=subprocess.PIPE
    )  # noqa: S603
    return int(done.stdout)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory"
)
def test_memory_of_a_picture_is_used_again_for_the_next():
    assert faults("import classifr.gunicorn") < ROUNDS * 100 < faults("")
