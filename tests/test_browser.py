"""The site as its readers meet it: made by `make site`, and every page opened in Chromium."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/Owner/few-shot"
ADDRESS = "https://owner.github.io/few-shot/"
CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
NAMES = [CONTENTS["root"]] + [
    file
    for part in CONTENTS["parts"]
    for chapter in part["chapters"]
    for file in [chapter["file"], *(section["file"] for section in chapter.get("sections", []))]
]
PAGES = [f"{name}.html" for name in NAMES]
NOTEBOOKS = [name for name in NAMES if (ROOT / f"{name}.ipynb").exists()]
KINDS = [  # a page of each kind
    "book/preface.html",
    "book/start/notation.html",
    "book/start/troubleshooting.html",
    "book/part1/01_one_example.html",
    "book/part1/02_examined.html",
    "book/part3/which_head.html",
    "book/assignments/2_evaluation.html",
    "book/back/instructors.html",
    "book/back/glossary.html",
    "book/back/bibliography.html",
    "book/back/api.html",
    "book/back/api/heads.html",
    "search.html",
]
OPEN_ALL = "() => document.querySelectorAll('details').forEach((each) => { each.open = true; })"
FORMULAS = """() => ({
    meant: document.querySelectorAll(".math").length,
    shown: document.querySelectorAll("mjx-container").length,
    wrong: [...document.querySelectorAll("mjx-merror")].map((each) => each.textContent),
})"""
BAD_PICTURES = """() => [...document.images]
    .filter((image) => !(image.complete && image.naturalWidth && image.alt))
    .map((image) => image.outerHTML)"""


def made_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run `scripts/make_site.py` in a copy of the project."""
    command = [sys.executable, "scripts/make_site.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, as of somebody who keeps it on GitHub."""
    folder = tmp_path_factory.mktemp("project") / "copy"
    left = shutil.ignore_patterns(".*", "_build", "build", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, folder, ignore=left)
    command = [sys.executable, "scripts/set_address.py", REPOSITORY]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return folder


@pytest.fixture(scope="module")
def site(project: Path) -> Path:
    """The folder that `make site` makes there."""
    made = made_in(project)
    assert made.returncode == 0, made.stdout[-4000:] + made.stderr[-4000:]
    assert made.stdout.startswith(f"build/site is to be served at {ADDRESS}; to look at it: ")
    return project / "build" / "site"


@pytest.fixture(scope="module")
def host(site: Path) -> Iterator[str]:
    """The address of a static server of the site."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    handler = functools.partial(Silent, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # a page that is left hangs up: no news
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A light page, 1280 pixels wide; the test fails if it complains or asks elsewhere for anything."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    complaints: list[str] = []
    page.on(
        "console", lambda said: said.type in {"error", "warning"} and complaints.append(said.text)
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
    near = ("http://127.0.0.1:", "file:", "data:", "blob:")
    page.on("request", lambda asked: asked.url.startswith(near) or complaints.append(asked.url))
    yield page
    page.close()
    left = "net::ERR_ABORTED"  # a request of a page that was left before it was answered
    assert [each for each in complaints if not each.endswith(left)] == []


def is_dark(page: Page) -> bool:
    """Whether the ground behind the text is dark."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) < 3 * 128


@pytest.mark.parametrize("path", [*PAGES, "search.html"])
def test_a_page_opens_whole(page: Page, host: str, path: str) -> None:
    page.goto(host + path)
    page.evaluate("() => window.MathJax?.startup.promise")
    formulas = page.evaluate(FORMULAS)
    assert formulas == {"meant": formulas["meant"], "shown": formulas["meant"], "wrong": []}
    assert "$$" not in page.inner_text("main")
    assert page.evaluate(BAD_PICTURES) == []
    assert not is_dark(page)


@pytest.mark.parametrize("path", [*PAGES, "search.html"])
def test_a_page_fits_a_phone_in_the_dark(page: Page, host: str, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.goto(host + path)
    page.evaluate(OPEN_ALL)
    page.evaluate("() => window.MathJax?.startup.promise")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert is_dark(page)


@pytest.mark.parametrize(
    ("path", "width", "scheme"),
    [(path, 1280, scheme) for path in KINDS for scheme in ("light", "dark")]
    + [(path, 390, "dark") for path in [*PAGES, "search.html"]],
)
def test_axe_finds_nothing_serious(
    browser: Browser, host: str, path: str, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(host + path)
    page.evaluate(OPEN_ALL)
    page.evaluate("() => window.MathJax?.startup.promise")
    if "preface" in path:
        page.get_by_role("button", name="Try these").click()
        page.get_by_role("button", name="Ask about drawing 1", exact=True).click()
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response
    page.close()
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}
    serious = [
        (rule["id"], node["html"])
        for rule in found["violations"]
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]
    assert serious == []


def test_search_finds_prototype(page: Page, host: str) -> None:
    page.goto(host + "book/start/notation.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("prototype")
    page.keyboard.press("Enter")
    page.locator("#search-results li").first.wait_for()
    found = page.locator("#search-results li a").evaluate_all("each => each.map((a) => a.href)")
    assert any("10_prototypical.html" in address for address in found)
    assert any("glossary.html" in address for address in found)


def test_the_front_page_is_found_and_its_pad_answers(page: Page, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.wait_for_url("**/book/preface.html")
    page.get_by_role("button", name="Try these").click()
    page.get_by_role("button", name="Ask about drawing 1", exact=True).click()
    page.get_by_role("status").filter(has_text="Nearest: ").wait_for()


def test_every_page_is_in_the_sitemap(site: Path) -> None:
    listed = {each.text for each in ElementTree.parse(site / "sitemap.xml").iter() if each.text}
    assert {ADDRESS + path for path in PAGES} == {each for each in listed if each.strip()}
    assert f"Sitemap: {ADDRESS}sitemap.xml" in (site / "robots.txt").read_text()


@pytest.mark.parametrize("path", ["index.html", *PAGES])
def test_a_link_to_a_page_has_a_preview(site: Path, path: str) -> None:
    html = (site / path).read_text(encoding="utf-8")
    said = dict(re.findall(r'<meta (?:property|name)="([\w:]+)" content="(.*?)" ?/?>', html, re.S))
    assert said["og:title"]
    assert said["og:site_name"] == "Metric-based meta-learning"
    assert said["og:image"] == f"{ADDRESS}_static/preview.png"
    assert said["og:url"].startswith(ADDRESS)
    assert said["twitter:card"] == "summary_large_image"
    assert len(said["description"]) > 50


def test_the_preview_has_the_size_that_messengers_ask_for(site: Path) -> None:
    with Image.open(site / "_static" / "preview.png") as picture:
        assert picture.size == (1200, 630)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_opens_on_colab_and_can_be_taken_along(site: Path, name: str) -> None:
    html = (site / f"{name}.html").read_text(encoding="utf-8")
    colab = REPOSITORY.replace("https://github.com", "https://colab.research.google.com/github")
    assert f'href="{colab}/blob/main/{name}.ipynb"' in html
    assert (site / "_sources" / f"{name}.ipynb").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [("example.org/book", "is not an address such as"), ("https://a.b/?x=1", "is not an address")],
)
def test_what_is_no_address_is_refused(project: Path, address: str, said: str) -> None:
    made = made_in(project, address)
    assert made.returncode == 1
    assert said in made.stderr
