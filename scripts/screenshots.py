"""Take the screenshots of README.md anew, of a demo that was just made and that nobody used yet.

    CLASSIFR_DATA_DIR=/tmp/shots CLASSIFR_DEMO_PASSWORD=at-least-ten PORT=8090 make run
    CLASSIFR_DEMO_PASSWORD=at-least-ten .venv/bin/python -m scripts.screenshots
    http://127.0.0.1:8090

The picture that is sent is painted, so that no photo needs a permission.
"""

import io
import os
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "docs/img"


def paint_pizza(size: int = 640) -> bytes:
    """Return a JPEG of something that a person takes for a pizza."""
    dice = random.Random(7)  # noqa: S311 (it only places olives)
    image = Image.new("RGB", (size, size), "#6b4a32")
    draw = ImageDraw.Draw(image)
    _disc(draw, size / 2, size / 2, size * 0.46, "#f4f1ea")
    _disc(draw, size / 2, size / 2, size * 0.40, "#c98b4a")
    _disc(draw, size / 2, size / 2, size * 0.36, "#b8301c")
    toppings = [
        ("#f6dfa0", 0.06, 26),
        ("#8f1d14", 0.045, 12),
        ("#2f6b2a", 0.03, 12),
        ("#1c1a19", 0.02, 10),
    ]
    for colour, radius, count in toppings:
        for _number in range(count):
            angle_x, angle_y = dice.uniform(-0.24, 0.24), dice.uniform(-0.24, 0.24)
            _disc(
                draw,
                size * (0.5 + angle_x),
                size * (0.5 + angle_y),
                size * radius * dice.uniform(0.7, 1.2),
                colour,
            )
    out = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(1.2)).save(out, "JPEG", quality=90)
    return out.getvalue()


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: str) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def log_in(browser: Browser, address: str, user: str) -> Page:
    page = browser.new_page(base_url=address, locale="en", viewport={"width": 1100, "height": 720})
    page.goto("/account/login/")
    page.fill("input[name=login]", user)
    page.fill("input[name=password]", os.environ["CLASSIFR_DEMO_PASSWORD"])
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{address}/")
    return page


def take(page: Page, name: str) -> None:
    # What is first seen; a page as a whole is too long for the README
    page.screenshot(path=FOLDER / f"{name}.png")


def main(address: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium")
        )
        demo = log_in(browser, address, "demo")
        demo.goto("/projects/dishes/classify/")
        demo.set_input_files(
            "#file", {"name": "dinner.jpg", "mimeType": "image/jpeg", "buffer": paint_pizza()}
        )
        demo.wait_for_selector("[data-previews] img")
        demo.click("#classify")
        demo.wait_for_selector("#result meter")
        take(demo, "upload")
        demo.click("button[value=NOK]")
        demo.fill("input[name=category]", "pizza")
        demo.press("input[name=category]", "Enter")
        demo.wait_for_selector("text=You say it is")
        reviewer = log_in(browser, address, "reviewer")
        reviewer.goto("/review/?project=dishes")
        reviewer.wait_for_load_state("networkidle")
        take(reviewer, "review")
        maintainer = log_in(browser, address, "maintainer")
        maintainer.goto("/projects/dishes/samples/")
        maintainer.wait_for_load_state("networkidle")
        take(maintainer, "samples")
        maintainer.goto("/training/runs/1/")
        take(maintainer, "run")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
