"""BentoML: a service with adaptive batching, a worker process for each core, the picture as a
form's file.

Source: https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html,
https://docs.bentoml.com/en/latest/build-with-bentoml/parallelize-requests.html
"""

import bentoml
from PIL.Image import Image

from bench.peers import answering


@bentoml.service(workers=answering.CORES, traffic={"timeout": 60})
class Classifier:
    def __init__(self) -> None:
        self.model = answering.load()

    @bentoml.api(batchable=True, max_batch_size=8, max_latency_ms=60_000)
    def predict(self, pictures: list[Image]) -> list[list[float]]:
        return answering.scores(self.model, pictures)


if __name__ == "__main__":
    from bentoml_cli.cli import cli

    cli(
        [
            "serve",
            "bench.peers.bentoml_predict:Classifier",
            "--host",
            "127.0.0.1",
            "--port",
            str(answering.PORT),
        ]
    )
