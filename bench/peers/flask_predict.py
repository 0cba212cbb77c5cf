"""What the tutorials build: Flask, Pillow and `model.predict`. No login, no database, nothing is kept.

python -m bench.peers.flask_predict MODEL.keras SIZE PORT
"""

import io
import logging
import sys

import keras
import numpy as np
from flask import Flask, jsonify, request
from PIL import Image

app = Flask(__name__)
model = keras.models.load_model(sys.argv[1])
size = int(sys.argv[2])


@app.get("/ready")
def ready():
    return "ok"


@app.post("/predict")
def predict():
    image = Image.open(io.BytesIO(request.get_data())).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    pixels = np.asarray(
        image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    )
    outputs = model.predict(pixels[None].astype("float32"), verbose=0)
    scores = outputs[0] if isinstance(outputs, list) else next(iter(outputs.values()))
    return jsonify(predictions=np.asarray(scores)[0].tolist())


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request would slow it down
    app.run("127.0.0.1", int(sys.argv[3]), threaded=True)
