"""FastAPI and `model.predict`: a plain function, which FastAPI runs in its threads, in a process
for each core.

Source: https://fastapi.tiangolo.com/async/ (blocking work in `def`),
https://fastapi.tiangolo.com/deployment/server-workers/
"""

from contextlib import asynccontextmanager

from fastapi import Body, FastAPI, Request

from bench.peers import answering


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.model = answering.load()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/ready")
def ready() -> str:
    return "ok"


@app.post("/predict")
def predict(
    request: Request, picture: bytes = Body(media_type="image/jpeg")
) -> dict[str, list[float]]:
    model = request.app.state.model
    pixels = answering.pixels(picture, model.size)
    return {"predictions": model.predict(pixels[None])[0].tolist()}


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        "bench.peers.fastapi_predict:app",
        host="127.0.0.1",
        port=answering.PORT,
        workers=answering.CORES,
        log_level="warning",
    )
