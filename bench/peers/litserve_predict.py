"""LitServe: an API class with batches, one worker process for each core, the picture as a form's
file.

Source: https://lightning.ai/docs/litserve/features/batching, .../features/request-response-format
"""

import litserve

from bench.peers import answering


class Classifier(litserve.LitAPI):
    def setup(self, device):
        self.model = answering.load()

    def decode_request(self, request):
        return request["pictures"].file.read()

    def batch(self, inputs):
        return inputs

    def predict(self, pictures):
        return answering.scores(self.model, pictures)

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {"predictions": output}


if __name__ == "__main__":
    api = Classifier(max_batch_size=8, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=answering.CORES)
    server.run(
        host="127.0.0.1", port=answering.PORT, log_level="warning", generate_client_file=False
    )
