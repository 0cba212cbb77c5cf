"""The whole loop as a stranger sees it: a real server, worker and browser, a trained model.

With real photos where the private test material is at hand, else with drawn ones.
"""

import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from classifr.tests.process_tree import ROOT, Tree, manage
from scripts.services import wait_until

pytestmark = pytest.mark.outer

PASSWORD = "trattoria al ponte"
PHOTOS = ROOT.parent / "shared/data/food.tar"
HELD_BACK = 7  # one for the NOK, the others to ask the new model about
RIGHT_AT_LEAST = 4  # of six; real photos are hard


def draw_pizza(path: Path, number: int) -> None:
    """Draw a disc with cheese and salami on a table of some colour, different for every number."""
    chance = random.Random(number)
    image = Image.new("RGB", (256, 256), tuple(chance.randrange(60, 160) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    left, top, size = chance.randrange(5, 40), chance.randrange(5, 40), chance.randrange(170, 210)
    draw.ellipse((left, top, left + size, top + size), fill=(200, 140, 60))
    draw.ellipse((left + 12, top + 12, left + size - 12, top + size - 12), fill=(235, 200, 90))
    for _ in range(chance.randrange(7, 12)):
        x, y = left + chance.randrange(30, size - 50), top + chance.randrange(30, size - 50)
        draw.ellipse((x, y, x + 26, y + 26), fill=(190, 40, 30))
    image.save(path, quality=90)


@pytest.fixture(scope="module")
def pizzas(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pizzas")
    if PHOTOS.exists():
        with tarfile.open(PHOTOS) as archive:
            photos = [
                member for member in archive if member.isfile() and "/pizza/" in f"/{member.name}"
            ]
            archive.extractall(folder, members=photos, filter="data")
        return sorted(path for path in folder.rglob("*") if path.is_file())
    for number in range(45 + HELD_BACK):
        draw_pizza(folder / f"{number:03}.jpg", number)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def installation(tmp_path_factory, static_files) -> Path:
    """A data folder with the demo in it, its model trained as `make run` does."""
    folder = tmp_path_factory.mktemp("installation")
    manage(folder, "migrate", "-v0")
    manage(folder, "demo", CLASSIFR_DEMO_PASSWORD=PASSWORD)
    return folder


@pytest.fixture
def site(installation) -> Iterator[Tree]:
    tree = Tree(installation)
    try:
        wait_until(tree.is_complete, "serve")
        yield tree
    finally:
        tree.process.terminate()
        tree.process.wait(timeout=30)


def log_in(page: Page, name: str) -> None:
    page.goto("/")
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


def classify(page: Page, *pictures: Path) -> None:
    page.goto("/projects/dishes/classify/")
    page.locator("#file").set_input_files(list(pictures))
    page.get_by_role("button", name="Classify").click()


def test_pizza_is_taught(site, installation, pizzas, new_page, problems, tmp_path):
    shown, asked_about, learned = pizzas[0], pizzas[1:HELD_BACK], pizzas[HELD_BACK:]
    assert len(learned) >= 45

    # The demo user uploads a pizza; the model can only name a dish that it knows. She says NOK, and
    # what it is.
    user = new_page(site.url)
    log_in(user, "demo")
    classify(user, shown)
    table = user.locator("#result table")
    expect(table.locator("tbody tr").first).to_be_visible()
    expect(table).not_to_contain_text("pizza")
    user.get_by_role("button", name="NOK", exact=True).click()
    user.get_by_label("What is it really? (optional)").fill("pizza")
    user.get_by_role("button", name="Save").click()
    expect(user.locator("#result")).to_contain_text("pizza")

    # The reviewer finds it in the queue, and names what nobody has named before.
    reviewer = new_page(site.url)
    log_in(reviewer, "reviewer")
    reviewer.goto("/review/")
    expect(reviewer.locator("[data-picture]")).to_be_visible()
    reviewer.get_by_role("button", name="pizza a new category").click()
    expect(reviewer.get_by_role("status")).to_contain_text("Labelled as pizza")
    expect(reviewer.get_by_role("heading", name="All caught up")).to_be_visible()

    # Photos and a new model, from the command line, while the site is up.
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in learned:
        (folder / path.name).write_bytes(path.read_bytes())
    told = manage(
        installation, "add_category", "pizza", "--project", "dishes", "--images", str(folder)
    )
    assert str(len(learned)) in told
    told = manage(installation, "retrain", "--project", "dishes", "--promote")
    assert "Version 2 is live now" in told, told

    # The next uploads, a batch, are answered by it: pizza.
    classify(user, *asked_about)
    user.wait_for_url("**/batches/**")
    answers = user.locator("#batch .pick .cap a")
    expect(answers).to_have_count(len(asked_about), timeout=30_000)
    named = [text for text in answers.all_inner_texts() if "pizza" in text]
    assert len(named) >= RIGHT_AT_LEAST, answers.all_inner_texts()
    assert problems == []
