"""The quick-start of Custom Vision as a program for an older SDK, on which the test runs it.

Takes from the environment: ENDPOINT, TRAINING_KEY, PREDICTION_KEY, PICTURES (a folder of dark and
light pictures), TYPE (of the project; empty: none is named).
"""

import inspect
import json
import os
import time
from importlib.metadata import version
from pathlib import Path

from azure.cognitiveservices.vision.customvision.prediction import CustomVisionPredictionClient
from azure.cognitiveservices.vision.customvision.training import CustomVisionTrainingClient, models
from msrest.authentication import ApiKeyCredentials

ENDPOINT, PUBLISHED = os.environ["ENDPOINT"], "my model"
PICTURES = Path(os.environ["PICTURES"])


def connect(client, header, key):
    """Make a client: version 1.0.0 takes the key itself, the later ones credentials."""
    if "api_key" in inspect.signature(client.__init__).parameters:
        return client(key, ENDPOINT)
    return client(ENDPOINT, ApiKeyCredentials(in_headers={header: key}))


def send(operation, project_id, batch):
    """Send a batch: up to version 2.0.0 its parts are arguments, since 3.0.0 it is one."""
    if "batch" in inspect.signature(operation).parameters:
        return operation(project_id, batch)
    return operation(
        project_id,
        **{name: getattr(batch, name) for name in ("images", "tags") if hasattr(batch, name)},
    )


trainer = connect(CustomVisionTrainingClient, "Training-key", os.environ["TRAINING_KEY"])
predictor = connect(CustomVisionPredictionClient, "Prediction-key", os.environ["PREDICTION_KEY"])

named = {"classification_type": os.environ["TYPE"]} if os.environ["TYPE"] else {}
project = trainer.create_project("Plates", **named)
tags = {name: trainer.create_tag(project.id, name) for name in ("dark", "light")}
entries = [
    models.ImageFileCreateEntry(name=path.name, contents=path.read_bytes(), tag_ids=[tag.id])
    for name, tag in tags.items()
    for path in sorted((PICTURES / name).iterdir())
]
summary = send(
    trainer.create_images_from_files, project.id, models.ImageFileCreateBatch(images=entries)
)
assert summary.is_batch_successful, [image.status for image in summary.images]
address = summary.images[0].image.original_image_uri
with (PICTURES / "one.png").open("rb") as picture:
    summary = trainer.create_images_from_data(project.id, picture, tag_ids=[tags["dark"].id])
assert [image.status for image in summary.images] == ["OK"]

iteration = trainer.train_project(project.id)
while iteration.status != "Completed":
    assert iteration.status == "Training", iteration.status
    time.sleep(0.05)
    iteration = trainer.get_iteration(project.id, iteration.id)
trainer.publish_iteration(project.id, iteration.id, PUBLISHED, "prediction-resource")
performance = trainer.get_iteration_performance(project.id, iteration.id, threshold=0.5)
assert {tag.name for tag in performance.per_tag_performance} == set(tags)

data = (PICTURES / "another.png").read_bytes()
stored = predictor.classify_image(project.id, PUBLISHED, data, application="phone")
others = [
    predictor.classify_image_with_no_store(project.id, PUBLISHED, data),
    predictor.classify_image_url(project.id, PUBLISHED, address),
    predictor.classify_image_url_with_no_store(project.id, PUBLISHED, address),
]
answers = [answer.predictions[0].tag_name for answer in (stored, *others)]

found = trainer.query_predictions(
    project.id, models.PredictionQueryToken(application="phone", order_by="Newest")
)
assert [one.id for one in found.results] == [stored.id]
entry = models.ImageIdCreateEntry(id=stored.id, tag_ids=[tags["light"].id])
summary = send(
    trainer.create_images_from_predictions, project.id, models.ImageIdCreateBatch(images=[entry])
)
learned = summary.images[0].image
send(
    trainer.create_image_tags,
    project.id,
    models.ImageTagCreateBatch(
        tags=[models.ImageTagCreateEntry(image_id=learned.id, tag_id=tags["dark"].id)]
    ),
)
retagged = sorted(
    tag.tag_name for tag in trainer.get_images_by_ids(project.id, [learned.id])[0].tags
)

trainer.delete_prediction(project.id, [stored.id])
trainer.delete_images(project.id, [learned.id])
trainer.unpublish_iteration(project.id, iteration.id)
trainer.delete_iteration(project.id, iteration.id)
trainer.delete_tag(project.id, tags["light"].id)
trainer.delete_project(project.id)
sdk = version("azure-cognitiveservices-vision-customvision")
print(json.dumps({"sdk": sdk, "answers": answers, "retagged": retagged}))  # noqa: T201 (read by the test)
