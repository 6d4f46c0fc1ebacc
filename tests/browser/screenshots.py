"""Takes the pictures of the documentation: `make screenshots`, or python -m tests.browser.screenshots FOLDER.

A running Isengard with the demo in it, and with a training and some generations at work, in a browser as people see it.
"""

import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.api_client import Api
from tests.browser.conftest import PASSWORD, launch, log_in
from tests.conftest import wait_until
from tests.stack import ROOT, Stack

DEFAULT_FOLDER = ROOT / "docs" / "images"
WIDE, PHONE = {"width": 1360, "height": 880}, {"width": 390, "height": 844}
MAX_BYTES = 250_000
COLOURS = (256, 160, 96, 48)
# Slow enough to be seen at work.
STEP_SECONDS = "0.04"
# Where the checkout lies that the pictures were taken in is nobody's business.
SHOWN_ROOT = "/srv/isengard"
RENAME = """([before, after]) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(before, after);
}"""
ENOUGH_STEPS = 150
SETTLE_MILLISECONDS = 1200
DRIVER = ROOT / "tests" / "jobs" / "driver_stub.c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """`address` may have {training}, {ended}, {character}, {lora} and {picture}."""

    name: str
    address: str
    scheme: str = "light"
    is_phone: bool = False
    scroll_to: str = ""


SHOTS = (
    Shot(name="overview", address="/admin/"),
    Shot(name="overview-dark", address="/admin/", scheme="dark"),
    Shot(name="overview-figures", address="/admin/", scroll_to="[data-part=machines]"),
    Shot(name="overview-phone", address="/admin/", is_phone=True),
    Shot(name="jobs", address="/admin/jobs/job/"),
    Shot(name="job-running", address="/admin/jobs/job/{training}/change/"),
    Shot(name="job-ended-dark", address="/admin/jobs/job/{ended}/change/", scheme="dark"),
    Shot(name="job-phone", address="/admin/jobs/job/{training}/change/", is_phone=True, scheme="dark"),
    Shot(name="character", address="/admin/characters/character/{character}/change/"),
    Shot(name="photos", address="/admin/characters/character/{character}/change/", scroll_to="#char-photos-title"),
    Shot(name="characters", address="/admin/characters/character/"),
    Shot(name="lora", address="/admin/characters/lora/{lora}/change/"),
    Shot(name="gallery", address="/admin/gallery/"),
    Shot(name="picture", address="/admin/gallery/{picture}/", scheme="dark"),
    Shot(name="train", address="/admin/characters/character/{character}/train/"),
    Shot(name="front", address="/"),
)


def take_all(folder: Path, wanted: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="isengard-shots-") as place, _running(Path(place)) as stack:
        named = _set_the_stage(stack)
        with sync_playwright() as playwright:
            browser = launch(playwright)
            for shot in SHOTS:
                if not wanted or shot.name in wanted:
                    _take(browser, stack.url, shot, named, folder)
            browser.close()


@contextmanager
def _running(place: Path) -> Iterator[Stack]:
    made = {"ISENGARD_ADMIN_PASSWORD": PASSWORD, "ISENGARD_SIMULATOR_STEP_SECONDS": STEP_SECONDS}
    stack = Stack(place / "data", **made, **_gpu_of(place))
    try:
        yield stack.start()
    finally:
        stack.stop()


def _gpu_of(place: Path) -> dict[str, str]:
    """Return the environment in which there is a GPU to show, where a compiler can make its driver."""
    library = place / "libnvidia-ml.so.1"
    try:
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-nostdlib", "-w", "-o", library, DRIVER], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"LD_LIBRARY_PATH": str(place)}


def _set_the_stage(stack: Stack) -> dict[str, str]:
    """Fill in the demo, start some work, and return what the addresses name."""
    fill_demo(stack)
    api = Api(stack.url)
    people = api.get("/api/characters?limit=20")
    mara = next(person["id"] for person in people if person["name"].startswith("Mara"))
    ended = [job for job in api.get("/api/training?limit=100") if job["status"] == "completed"]
    ended = next(job["id"] for job in ended if mara in str(job))
    lora = next(
        lora["id"] for lora in api.get("/api/loras?limit=100&source=trained")["loras"] if "Mara" in lora["name"]
    )
    made = [job for job in api.get("/api/generation?limit=100") if job["status"] == "completed"]
    picture = next(job["id"] for job in made if mara in str(job))
    training = api.train(mara, steps=4000, sample_every_n_steps=50, sample_count=2, checkpoint_every_n_steps=100)
    api.train(next(person["id"] for person in people if person["name"].startswith("Theo")))
    wait_until(lambda: api.job(training)["current_step"] > ENOUGH_STEPS, seconds=180, what="a curve to look at")
    return {"training": training, "ended": ended, "character": mara, "lora": lora, "picture": f"{picture}-0.png"}


def fill_demo(stack: Stack, *options: str) -> None:
    subprocess.run([sys.executable, "manage.py", "demo", *options], cwd=ROOT, env=stack.environment, check=True)


def _take(browser: Browser, url: str, shot: Shot, named: dict[str, str], folder: Path) -> None:
    viewport = PHONE if shot.is_phone else WIDE
    context = browser.new_context(color_scheme=shot.scheme, viewport=viewport, reduced_motion="reduce")
    page = context.new_page()
    if shot.address != "/":
        log_in(page, url)
    page.goto(url + shot.address.format(**named))
    if shot.scroll_to:
        page.locator(shot.scroll_to).evaluate("part => part.scrollIntoView()")
    _settle(page)
    page.evaluate(RENAME, [str(ROOT), SHOWN_ROOT])
    content = page.screenshot()
    context.close()
    written = shrink(content)
    (folder / f"{shot.name}.png").write_bytes(written)
    sys.stdout.write(f"{shot.name}.png {len(written) // 1000} kB\n")


def _settle(page: Page) -> None:
    """Wait for what is loaded and drawn after the page itself. Streams never end, so the network is never idle."""
    page.wait_for_function("[...document.images].every(image => image.loading === 'lazy' || image.complete)")
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(SETTLE_MILLISECONDS)


def shrink(content: bytes) -> bytes:
    """Return the picture with as many colours as keep it below MAX_BYTES."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    for colours in COLOURS:
        small = io.BytesIO()
        # Against a palette, because only then neighbours make up for the colours that are not in it.
        picture.quantize(palette=picture.quantize(colours)).save(small, "PNG", optimize=True)
        if small.tell() <= MAX_BYTES:
            break
    return small.getvalue()


if __name__ == "__main__":
    given = sys.argv[1:]
    take_all(Path(given[0]) if given else DEFAULT_FOLDER, given[1:])
