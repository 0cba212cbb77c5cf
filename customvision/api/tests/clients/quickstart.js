// The quick-start of Custom Vision with the npm packages; takes the same environment as quickstart.py.
const assert = require("assert");
const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

// The packages are installed apart from this file
const load = createRequire(path.join(process.env.PACKAGES, "package.json"));
const { TrainingAPIClient } = load("@azure/cognitiveservices-customvision-training");
const { PredictionAPIClient } = load("@azure/cognitiveservices-customvision-prediction");
const { ApiKeyCredentials } = load("@azure/ms-rest-js");

const { ENDPOINT, TRAINING_KEY, PREDICTION_KEY, PICTURES } = process.env;
const PUBLISHED = "my model";
const read = (...names) => fs.readFileSync(path.join(PICTURES, ...names));

async function main() {
  const trainer = new TrainingAPIClient(new ApiKeyCredentials({ inHeader: { "Training-key": TRAINING_KEY } }), ENDPOINT);
  const predictor = new PredictionAPIClient(
    new ApiKeyCredentials({ inHeader: { "Prediction-key": PREDICTION_KEY } }), ENDPOINT);

  const named = process.env.TYPE ? { classificationType: process.env.TYPE } : {};
  const project = await trainer.createProject("Plates", named);
  const tags = {};
  const images = [];
  for (const name of ["dark", "light"]) {
    tags[name] = await trainer.createTag(project.id, name);
    for (const file of fs.readdirSync(path.join(PICTURES, name))) {
      images.push({ name: file, contents: read(name, file), tagIds: [tags[name].id] });
    }
  }
  const batch = await trainer.createImagesFromFiles(project.id, { images });
  assert(batch.isBatchSuccessful);
  const address = batch.images[0].image.originalImageUri;
  const single = await trainer.createImagesFromData(project.id, read("one.png"), { tagIds: [tags.dark.id] });
  assert.strictEqual(single.images[0].status, "OK");

  let iteration = await trainer.trainProject(project.id);
  while (iteration.status !== "Completed") {
    assert.strictEqual(iteration.status, "Training");
    await new Promise((resolve) => setTimeout(resolve, 50));
    iteration = await trainer.getIteration(project.id, iteration.id);
  }
  await trainer.publishIteration(project.id, iteration.id, PUBLISHED, "prediction-resource");
  const performance = await trainer.getIterationPerformance(project.id, iteration.id, { threshold: 0.5 });
  assert.deepStrictEqual(performance.perTagPerformance.map((tag) => tag.name).sort(), ["dark", "light"]);

  const picture = read("another.png");
  const stored = await predictor.classifyImage(project.id, PUBLISHED, picture, { application: "phone" });
  const others = [
    await predictor.classifyImageWithNoStore(project.id, PUBLISHED, picture),
    await predictor.classifyImageUrl(project.id, PUBLISHED, { url: address }),
    await predictor.classifyImageUrlWithNoStore(project.id, PUBLISHED, { url: address }),
  ];
  const answers = [stored, ...others].map((answer) => answer.predictions[0].tagName);

  const found = await trainer.queryPredictions(project.id, { application: "phone", orderBy: "Newest" });
  assert.deepStrictEqual(found.results.map((one) => one.id), [stored.id]);
  const entry = { id: stored.id, tagIds: [tags.light.id] };
  const learned = (await trainer.createImagesFromPredictions(project.id, { images: [entry] })).images[0].image;
  await trainer.createImageTags(project.id, { tags: [{ imageId: learned.id, tagId: tags.dark.id }] });
  const again = await trainer.getImagesByIds(project.id, { imageIds: [learned.id] });
  const retagged = again[0].tags.map((tag) => tag.tagName).sort();

  await trainer.deletePrediction(project.id, [stored.id]);
  await trainer.deleteImages(project.id, { imageIds: [learned.id] });
  await trainer.unpublishIteration(project.id, iteration.id);
  await trainer.deleteIteration(project.id, iteration.id);
  await trainer.deleteTag(project.id, tags.light.id);
  await trainer.deleteProject(project.id);
  const { version } = load("@azure/cognitiveservices-customvision-training/package.json");
  console.log(JSON.stringify({ sdk: version, answers, retagged }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
