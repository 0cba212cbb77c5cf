"""MLServer: a custom runtime in its pool of worker processes, one for each core; the picture in
base64 in V2 JSON.

Adaptive batching stays off, as it is by default: it wants tensors of one shape, and JPEGs differ in
length. Source: https://docs.seldon.ai/mlserver/user-guide/custom, .../user-guide/parallel-inference
"""

import asyncio

import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.peers import answering
from scripts.services import free_port


class Classifier(MLModel):
    async def load(self) -> bool:
        self._model = answering.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        pictures = Base64Codec.decode_input(payload.inputs[0])
        found = np.asarray(answering.scores(self._model, pictures))
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("predictions", found)]
        )


async def main() -> None:
    settings = Settings(
        host="127.0.0.1",
        http_port=answering.PORT,
        grpc_port=free_port(),
        metrics_endpoint=None,
        parallel_workers=answering.CORES,
        debug=False,
    )
    model = ModelSettings(
        name="classifier", implementation="bench.peers.mlserver_predict.Classifier"
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
