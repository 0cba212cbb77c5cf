"""What the tutorials build: Flask, Pillow and `model.predict`. No login, no database, nothing is
kept.
"""

import logging

from flask import Flask, jsonify, request

from bench.peers import answering

app = Flask(__name__)
model = answering.load()


@app.get("/ready")
def ready():
    return "ok"


@app.post("/predict")
def predict():
    pixels = answering.pixels(request.get_data(), model.size)
    return jsonify(predictions=model.predict(pixels[None])[0].tolist())


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request would slow it down
    app.run("127.0.0.1", answering.PORT, threaded=True)
