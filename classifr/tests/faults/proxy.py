"""A bad line to a server on this machine: it delays, cuts or swallows what goes through it."""

import random
import socket
import threading
import time
from contextlib import suppress
from typing import Self


class Proxy:
    """Listens on a port of its own and passes on to `target`.

    `mode` may change at any time: "pass", "slow" (a pause before each piece), "cut" (each
    connection ends after a random number of bytes), "hang" (nothing goes through any more),
    "refuse" (connections end at once).
    """

    def __init__(self, target: int, *, seed: int = 0) -> None:
        self.target = target
        self.mode = "pass"
        self.slow_seconds = 0.3
        self.cuts = 0
        self._random = random.Random(seed)  # noqa: S311
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listening.accept()
            except OSError:
                return
            try:
                if self.mode == "refuse":
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                client.close()
                continue
            cut_after = [self._random.randrange(0, 4000)]
            for here, there in ((client, server), (server, client)):
                threading.Thread(
                    target=self._pass_on, args=(here, there, cut_after), daemon=True
                ).start()

    def _pass_on(self, here: socket.socket, there: socket.socket, left: list[int]) -> None:
        """Copy one direction; `left` is how many bytes both together may carry before the cut."""
        here.settimeout(None)
        try:
            while piece := here.recv(1000):
                while self.mode == "hang":
                    time.sleep(0.05)
                if self.mode == "slow":
                    time.sleep(self.slow_seconds)
                if self.mode == "refuse":
                    return
                if self.mode == "cut":
                    left[0] -= len(piece)
                    if left[0] < 0:
                        self.cuts += 1
                        return
                there.sendall(piece)
        except OSError:
            return
        finally:
            for end in (here, there):
                with suppress(OSError):  # the other direction may have been quicker
                    end.shutdown(socket.SHUT_RDWR)
