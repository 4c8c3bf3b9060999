"""The drawing pad of the book's pages: the same pictures, embeddings and answers as in Python."""

from collections.abc import Iterator

import demo_page
import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page

import metalearn as ml

HTML = (
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>Pad</title>"
    "<link rel='stylesheet' href='demo.css'><div class='draw-a-character'></div>"
    + "".join(f"<script defer src='{name}'></script>" for name in demo_page.PROGRAMS)
)
EMBED = """pictures => {
    const weights = Network.read(WEIGHTS);
    return pictures.map((picture) => Array.from(Network.embed(picture, weights)));
}"""
FOCUSED = "document.activeElement.getAttribute('aria-label')"


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A page with a pad, opened as a file; nothing is fetched from elsewhere."""
    folder = tmp_path_factory.mktemp("pad")
    demo_page.write(folder)
    (folder / "index.html").write_text(HTML, encoding="utf-8")
    page = browser.new_page(viewport={"width": 900, "height": 900})
    page.address = (folder / "index.html").as_uri()
    return page


@pytest.fixture
def pad(opened: Page) -> Iterator[Page]:
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda request: complaints.append(request.url))
    opened.goto(opened.address)
    yield opened
    assert complaints == []


def embedded(page: Page, pictures: np.ndarray) -> np.ndarray:
    """What the page's network makes of pictures [n, 1, 28, 28]."""
    flat = pictures.reshape(len(pictures), -1).tolist()
    return np.array(page.evaluate(EMBED, flat))


def test_the_programs_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in demo_page.SOURCE.iterdir()}
    assert sum(sizes.values()) < 30_000
    assert len(demo_page.weights()) < 600_000


def test_the_same_strokes_make_the_same_picture_to_the_last_bit(pad: Page) -> None:
    rng = np.random.default_rng(0)
    drawings = [[[[0.5, 0.5]]], [[[0.1, 0.9], [0.9, 0.1]]], [[[0.4, 0.4]], [[0.41, 0.4]]]]
    for _ in range(100):
        steps = [rng.normal(0, 0.03, (rng.integers(1, 40), 2)) for _ in range(rng.integers(1, 6))]
        drawings.append([(np.cumsum(each, 0) + rng.random(2)).tolist() for each in steps])
    theirs = pad.evaluate("drawings => drawings.map(d => Array.from(Strokes.picture(d)))", drawings)
    ours = [ml.draw_strokes(drawing).flatten().tolist() for drawing in drawings]
    assert theirs == ours


def test_the_network_is_the_one_that_ships(pad: Page) -> None:
    pool = ml.load_pool("glyphs")
    pictures = pool.images[:: len(pool) // 40].numpy()
    wanted = ml.pretrained("conv4-glyphs").embed(torch.from_numpy(pictures)[None])[0]
    assert np.abs(embedded(pad, pictures) - wanted.detach().numpy()).max() < 1e-4


def test_real_drawings_are_recognised_as_in_python(pad: Page, omniglot: dict) -> None:
    """200 rounds of five characters of Omniglot, known from one drawing each."""
    images, labels = omniglot["images"], omniglot["labels"]
    rng = np.random.default_rng(0)
    net = ml.pretrained("conv4-glyphs")
    rounds = []
    for _ in range(200):
        classes = rng.choice(labels.max() + 1, 5, replace=False)
        rows = [rng.choice(np.flatnonzero(labels == c), 2, replace=False) for c in classes]
        true = rng.integers(5)
        rounds.append((classes, images[[first for first, _ in rows] + [rows[true][1]], None], true))
    z = embedded(pad, np.concatenate([pictures for _, pictures, _ in rounds])).reshape(200, 6, -1)
    right = 0
    for (classes, pictures, true), (*known, asked) in zip(rounds, z.tolist(), strict=True):
        prototypes = [{"examples": [{"z": each}]} for each in known]
        answer = pad.evaluate("z => Demo.nearest(Demo.distances(...z))", [asked, prototypes])
        clf = ml.FewShotClassifier(net).fit(pictures[:5], classes)
        assert classes[answer] == clf.predict(pictures[5:])[0]
        right += answer == true
    assert right >= 180


def stroke(page: Page, points: list[tuple[float, float]]) -> None:
    box = page.locator(".pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


CHARACTERS = {
    "cross": [[(0.2, 0.2), (0.8, 0.8)], [(0.8, 0.2), (0.2, 0.8)]],
    "zed": [[(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)]],
    "tee": [[(0.1, 0.2), (0.9, 0.2)], [(0.5, 0.2), (0.5, 0.9)]],
    "box": [[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)]],
    "hook": [[(0.5, 0.1), (0.5, 0.7), (0.4, 0.85), (0.2, 0.8)]],
}


def draw(page: Page, character: str, size: float = 1.0, tilt: float = 0.0) -> None:
    """Draw a character, smaller and tilted as given."""
    cos, sin = np.cos(tilt) * size, np.sin(tilt) * size
    for points in CHARACTERS[character]:
        moved = [(x - 0.5, y - 0.5) for x, y in points]
        stroke(page, [(0.5 + cos * x - sin * y, 0.5 + sin * x + cos * y) for x, y in moved])


def teach(page: Page, name: str) -> None:
    page.get_by_label("It is called").fill(name)
    page.get_by_role("button", name="Teach").click()


@pytest.fixture
def five_known(pad: Page) -> Page:
    for name in CHARACTERS:
        draw(pad, name)
        teach(pad, name)
    return pad


@pytest.mark.parametrize("tilt", [-0.15, 0.2])
@pytest.mark.parametrize("name", CHARACTERS)
def test_ten_drawings_are_answered_right(five_known: Page, name: str, tilt: float) -> None:
    draw(five_known, name, size=0.6, tilt=tilt)
    five_known.get_by_role("status").filter(has_text=f"Nearest: {name} ").wait_for()
    assert five_known.locator(".classes li.nearest .name").inner_text() == name


def test_a_sixth_character_is_refused_until_one_is_forgotten(five_known: Page) -> None:
    stroke(five_known, [(0.2, 0.5), (0.8, 0.5)])
    teach(five_known, "dash")
    assert "5 characters are known" in five_known.get_by_role("status").inner_text()
    five_known.get_by_role("button", name="Forget zed").click()
    teach(five_known, "dash")
    names = five_known.locator(".classes .name").all_inner_texts()
    assert names == ["cross", "tee", "box", "hook", "dash"]


def test_a_second_example_moves_the_mean(five_known: Page) -> None:
    draw(five_known, "zed", tilt=0.3)
    status = five_known.get_by_role("status")
    status.filter(has_text="Nearest: zed ").wait_for()
    before = float(five_known.locator(".classes li.nearest .number").inner_text())
    five_known.get_by_role("button", name="Add the drawing to zed").click()
    draw(five_known, "zed", tilt=0.3)
    status.filter(has_text="Nearest: zed ").wait_for()
    assert float(five_known.locator(".classes li.nearest .number").inner_text()) < before


def test_the_keyboard_is_enough(pad: Page) -> None:
    for name, keys in {"down": "ArrowDown", "across": "ArrowRight"}.items():
        pad.get_by_role("application", name="Drawing pad").focus()
        for key in [" ", *[keys] * 8, " "]:
            pad.keyboard.press(key)
        pad.locator(".sees canvas").wait_for()
        pad.get_by_label("It is called").focus()
        pad.keyboard.type(name)
        pad.keyboard.press("Enter")
    assert pad.locator(".classes .name").all_inner_texts() == ["down", "across"]
    pad.get_by_role("button", name="Add the drawing to down").focus()
    pad.keyboard.press("Enter")
    assert pad.evaluate(FOCUSED) == "Add the drawing to down"
    pad.get_by_role("button", name="Forget down").focus()
    pad.keyboard.press("Enter")
    assert pad.evaluate(FOCUSED) == "Drawing pad"
    assert pad.locator(".classes .name").all_inner_texts() == ["across"]


def test_glyphs_to_try_need_no_drawing(pad: Page) -> None:
    pad.get_by_role("button", name="Try these").click()
    known = pad.locator(".classes .name").all_inner_texts()
    assert len(known) == len(demo_page.CHOSEN)
    pad.get_by_role("button", name="Ask about drawing 2", exact=True).focus()
    pad.keyboard.press("Enter")
    assert pad.evaluate(FOCUSED) == "Ask about drawing 2"
    seen = set()
    for number in range(1, len(known) * (demo_page.DRAWINGS - 1) + 1):
        pad.get_by_role("button", name=f"Ask about drawing {number}", exact=True).click()
        seen.add(pad.locator(".classes li.nearest .name").inner_text())
    assert seen == set(known)


@pytest.mark.parametrize(
    ("name", "said"), [("", "Give the character a name"), ("x", "Draw a character")]
)
def test_what_is_missing_is_said(pad: Page, name: str, said: str) -> None:
    if not name:
        stroke(pad, [(0.2, 0.5), (0.8, 0.5)])
        pad.locator(".sees canvas").wait_for()
    teach(pad, name)
    assert said in pad.get_by_role("status").inner_text()


def test_try_these_asks_before_it_forgets_what_was_taught(pad: Page) -> None:
    draw(pad, "zed")
    teach(pad, "mine")
    asked = []
    for answer, names in (("dismiss", ["mine"]), ("accept", ["don", "ka", "alef", "ken", "psi"])):
        pad.once(
            "dialog", lambda box, answer=answer: (asked.append(box.message), getattr(box, answer)())
        )
        pad.get_by_role("button", name="Try these").click()
        assert set(pad.locator(".classes .name").all_inner_texts()) == set(names)
    assert asked == 2 * ["The characters that you taught will be forgotten."]


def test_a_second_finger_draws_nothing(pad: Page) -> None:
    box = pad.locator(".pad").bounding_box()
    hands = pad.context.new_cdp_session(pad)

    def touch(what: str, *points: tuple[float, float]) -> None:
        places = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": number}
            for number, (x, y) in enumerate(points)
        ]
        hands.send("Input.dispatchTouchEvent", {"type": what, "touchPoints": places})

    def seen() -> list[int]:
        pad.wait_for_timeout(200)
        return pad.locator(".sees canvas").evaluate(
            "each => [...each.getContext('2d').getImageData(0, 0, 28, 28).data]"
        )

    touch("touchStart", (0.2, 0.3))
    touch("touchMove", (0.5, 0.3))
    touch("touchMove", (0.8, 0.3))
    alone = seen()
    touch("touchStart", (0.8, 0.3), (0.5, 0.9))
    touch("touchMove", (0.8, 0.3), (0.2, 0.8))
    assert seen() == alone
    touch("touchEnd")


def test_what_is_said_comes_once_a_stroke(five_known: Page) -> None:
    five_known.evaluate(
        """() => {
            window.said = [];
            const status = document.querySelector("[role=status]");
            const note = () => window.said.push(status.textContent);
            new MutationObserver(note).observe(status, { childList: true });
        }"""
    )
    draw(five_known, "tee")
    five_known.get_by_role("status").filter(has_text="Nearest: tee ").wait_for()
    assert len(five_known.evaluate("window.said")) <= len(CHARACTERS["tee"])
    five_known.get_by_role("button", name="Undo").click()
    assert "Nearest" in five_known.get_by_role("status").inner_text()
    five_known.get_by_role("button", name="Undo").click()
    assert five_known.get_by_role("status").inner_text().startswith("Draw one of them again")


def test_two_names_for_one_drawing_are_equally_near(pad: Page) -> None:
    for name in ("one", "other"):
        stroke(pad, [(0.5, 0.5)])
        teach(pad, name)
    stroke(pad, [(0.5, 0.5)])
    pad.get_by_role("status").filter(has_text="Equally near: one ").wait_for()


def test_keys_and_glyphs_in_any_order(pad: Page) -> None:
    pad.get_by_role("button", name="Try these").click()
    surface = pad.get_by_role("application", name="Drawing pad")
    for keys in ([" ", "ArrowRight"], ["ArrowDown"], ["Delete", "ArrowDown"]):
        surface.focus()
        for key in keys:
            pad.keyboard.press(key)
        pad.get_by_role("button", name="Ask about drawing 1", exact=True).click()
    assert "Nearest" in pad.get_by_role("status").inner_text()
