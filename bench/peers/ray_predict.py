"""Ray Serve: a deployment with dynamic batching and one replica for each core, the picture as the
request's body.

Source: https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html,
https://docs.ray.io/en/latest/serve/configure-serve-deployment.html
"""

import asyncio
import signal

import ray
from ray import serve
from starlette.requests import Request

from bench.peers import answering


@serve.deployment(
    num_replicas=answering.CORES, max_ongoing_requests=32, ray_actor_options={"num_cpus": 1}
)
class Classifier:
    def __init__(self) -> None:
        self.model = answering.load()

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.005)
    async def scores(self, pictures: list[bytes]) -> list[list[float]]:
        return await asyncio.to_thread(answering.scores, self.model, pictures)

    async def __call__(self, request: Request) -> dict[str, list[float]]:
        return {"predictions": await self.scores(await request.body())}


if __name__ == "__main__":
    ray.init(num_cpus=answering.CORES, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": answering.PORT})
    serve.run(Classifier.bind(), route_prefix="/predict")
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()
