"""Make the folder that any static host serves, `build/site`.

usage: python scripts/make_site.py [address; default: the GitHub pages of the repository in _config.yml]

The pages are built as `make book` builds them, warnings are errors. As each then has an address, it
also tells a search engine where it stands, and a messenger what to show beside a link; a sitemap lists
all. Where the repository is on GitHub, every notebook has a button that opens it on Colab.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from set_address import address_of
from sphinx.application import Sphinx
from sphinx.config import Config

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "pages"
SITE = ROOT / "build" / "site"
VARIABLE = "METALEARN_SITE"
FRONT = "book/preface.html"
ALT = "Drawings of five new characters: mixed as pixels, apart in the learned space."
INDEX = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={front}">
<title>Metric-based meta-learning</title>
{tags}
</head>
<body><p><a href="{front}">Metric-based meta-learning</a></p></body>
</html>
"""
TAG = r'<meta (?:property="og:|name="twitter:|name="description").*?>'


# Part of Sphinx, where the address is known


def setup(app: Sphinx) -> dict[str, bool]:
    """Load what writes descriptions and the sitemap, where `make site` builds."""
    if VARIABLE in os.environ:
        app.setup_extension("sphinxext.opengraph")
        app.setup_extension("sphinx_sitemap")
        app.connect("config-inited", give_address)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def give_address(app: Sphinx, config: Config) -> None:
    """Tell Sphinx and its extensions where the pages will stand."""
    config.html_baseurl = config.ogp_site_url = os.environ[VARIABLE]
    config.sitemap_url_scheme = "{link}"
    config.sitemap_excludes = ["search.html"]
    config.ogp_site_name = config.html_title
    config.ogp_image = "_static/preview.png"
    config.ogp_image_alt = ALT
    config.ogp_custom_meta_tags = ['<meta name="twitter:card" content="summary_large_image">']


# The command


def checked(address: str) -> str:
    """Return the address with a slash at its end; exit if it is none."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        sys.exit(f"{address!r} is not an address such as https://example.org/book/")
    return address.rstrip("/") + "/"


def pages_of(repository: str) -> str:
    """Return where GitHub serves the pages of this repository; exit if it is not GitHub's."""
    found = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", repository)
    if not found:
        sys.exit(
            f"The repository is {repository or 'not set'}, and only GitHub's pages have a known address. "
            "Say where the pages will stand: make site SITE=https://example.org/book/"
        )
    owner, name = found[1].lower(), found[2]
    return f"https://{owner}.github.io/" + (
        "" if name.lower() == f"{owner}.github.io" else f"{name}/"
    )


def build(address: str) -> Path:
    """Build every page anew; return the folder."""
    shutil.rmtree(BUILD, ignore_errors=True)
    options = ["--path-output", str(BUILD), "--quiet", "-W", "-n", "--keep-going", "--all"]
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT), *options]
    environment = os.environ | {VARIABLE: address}
    made = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode:
        sys.exit(f"{made.stdout}\nthe pages could not be built")
    return BUILD / "_build" / "html"


def main() -> None:
    """Make the folder, and say what it holds."""
    repository = address_of((ROOT / "_config.yml").read_text(encoding="utf-8"))
    address = checked(sys.argv[1]) if len(sys.argv) > 1 else pages_of(repository)
    pages = build(address)

    tags = re.findall(TAG, (pages / FRONT).read_text(encoding="utf-8"), re.DOTALL)
    index = INDEX.format(front=FRONT, tags="\n".join(tags))
    (pages / "index.html").write_text(index, encoding="utf-8")
    (pages / "robots.txt").write_text(f"User-agent: *\nSitemap: {address}sitemap.xml\n")
    (pages / ".nojekyll").touch()  # GitHub would leave out folders that begin with _

    shutil.rmtree(SITE, ignore_errors=True)
    pages.rename(SITE)
    print(
        f"{SITE.relative_to(ROOT)} is to be served at {address}; to look at it: {SITE / 'index.html'}"
    )
    if not repository.startswith("https://github.com/"):
        print("No page opens on Colab: no repository on GitHub is set, see `make address`.")


if __name__ == "__main__":
    main()
