"""The page of troubleshooting: every message of the package that it quotes is provoked and compared."""

import doctest
import re
import socket
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "book" / "start" / "troubleshooting.md"


def test_the_package_says_what_the_page_quotes(cache_folder, tmp_path, monkeypatch) -> None:
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"(?ms)^```pycon\n(.*?)^```$", PAGE.read_text(encoding="utf-8"))
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=flags)
    runner.run(parser.get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0))
    assert runner.failures == 0, "above stands what the page says, and what the package says"
    assert runner.tries > 20
