"""The glossary has every term in English and Chinese, and each leads to where it is introduced."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from book_sections import anchor, sections
from chinese_text import marked

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
GLOSSARY = BOOK / "back" / "glossary.md"
CHINESE = r"[\u4e00-\u9fff]"

# What the source document sets in bold, lists or names in a heading, as it writes it or as it is written.
DOCUMENT = re.findall(
    r"\S+",
    """
元学习 学习学习 度量 基于度量的 任务 模型 监督学习 无监督学习 强化学习 神经网络 支持向量机 随机森林 更新
分类准确率 回归均方误差 F1分数 梯度下降 随机优化 欧氏距离 余弦相似度 优化器 交叉熵 损失 泛化
跨域学习 跨任务学习 快速模型部署 持续学习 过拟合
""",
)

# What chapters set in bold for another reason than to introduce a term.
EMPHASIS = """
1 hand, views; 2 hands; 20 hands; always; any length; as it comes; broken coordinates; careful;
classes; cost; do contexts that lie together pay alike?; drawing; episodes; evaluate it; evaluate
the model; evaluation; even; informed; ink; kernel; learn a model; length is the class; line 1; line
2; line 3; line 4; linear svm; mean of the unit vectors; nearby with $q = 0$; neighbour; one; one
example; one example is wrong; one group; pickle; pixels; plain classifier; rbf svm; row; rule;
seeds; select a task; shipped network; shuffled; soft; solve a small learning problem; spread;
squared euclidean; stale; svr; symmetric; the middle of other data; the table of characters; the
table of drawings; training; unpaired; update; update the model; ways in training; where it loses;
without the context; wrong labels
"""

# How the place that introduces a term may write it.
SPELLINGS = {
    "calibration": ["calibrate"],
    "confidence interval": ["interval"],
    "continual learning": ["sessions"],
    "cosine distance": ["cosine"],
    "cosine similarity": ["cosine"],
    "cross-domain learning": ["carries over"],
    "cross-task learning": ["three questions"],
    "data parallelism": ["share of a step's episodes"],
    "enrolment": ["enrol"],
    "Euclidean distance": ["Euclidean"],
    "expected cost": ["expected to cost"],
    "fast model deployment": ["enrol"],
    "generalisation": ["new classes"],
    "kernel regression": ["Nadaraya"],
    "Mahalanobis distance": ["Mahalanobis"],
    "Manhattan distance": ["Manhattan"],
    "N-way K-shot": ["5-way 1-shot"],
    "paired difference": ["paired"],
    "proper score": ["proper"],
    "residual network": ["residual"],
    "ridge regression": ["ridge"],
    "source domain": ["source"],
    "supervised learning": ["supervised"],
    "target domain": ["target"],
    "unlabelled example": ["unlabelled"],
    "unsupervised learning": ["unsupervised"],
}


@dataclass
class Entry:
    terms: list[str]
    text: str

    @property
    def english(self) -> str:
        return self.terms[0]

    @property
    def chinese(self) -> list[str]:
        return self.terms[1:]

    @property
    def link(self) -> str:
        return re.search(r"\]\(([^)]+)\)$", self.text)[1]


def read(text: str) -> list[Entry]:
    listing = re.search(r"(?ms)^```\{glossary\}\n(.*?)^```$", text)[1]
    return [
        Entry(re.findall(r"(?m)^\S.*$", block), " ".join(re.findall(r"(?m)^  (.*)$", block)))
        for block in listing.strip().split("\n\n")
    ]


ENTRIES = read(GLOSSARY.read_text(encoding="utf-8"))
EACH = [pytest.param(entry, id=entry.english) for entry in ENTRIES]


@pytest.mark.parametrize("entry", EACH)
def test_entry_is_complete(entry: Entry) -> None:
    """An English term, a Chinese one at least, a sentence, and a link at its end."""
    assert not re.search(CHINESE, entry.english)
    assert entry.chinese
    assert all(re.search(CHINESE, term) for term in entry.chinese)
    assert re.fullmatch(r"[A-Z].*[.)] \[(Chapter \d+|Preface|The document)\]\(\S+\)", entry.text)


@pytest.mark.parametrize("entry", EACH)
def test_term_stands_where_the_link_leads(entry: Entry) -> None:
    page, _, place = entry.link.partition("#")
    found = sections((GLOSSARY.parent / page).resolve())
    assert place in found, f"no such heading; there are {', '.join(found)}"
    text = re.sub(r"[\s*]+", " ", found[place]).lower()
    spellings = SPELLINGS.get(entry.english, [entry.english])
    assert any(spelling.lower() in text for spelling in spellings)


def test_terms_stand_in_the_order_of_the_alphabet() -> None:
    terms = [entry.english.lower() for entry in ENTRIES]
    assert terms == sorted(terms)


def test_no_term_is_listed_twice_in_either_language() -> None:
    terms = [term.lower() for entry in ENTRIES for term in entry.terms]
    assert [term for term in set(terms) if terms.count(term) > 1] == []


def test_links_name_the_chapter_to_which_they_lead() -> None:
    for entry in ENTRIES:
        if chapter := re.search(r"\[Chapter (\d+)\]", entry.text):
            assert re.search(rf"/{int(chapter[1]):02}_\w+\.ipynb", entry.link), entry.english


@pytest.mark.parametrize("term", DOCUMENT)
def test_every_term_of_the_document_is_there(term: str) -> None:
    assert term in [each for entry in ENTRIES for each in entry.chinese]


def bold(path: Path) -> set[str]:
    """What a chapter sets in bold, in lower case without a full stop: mostly terms that it introduces."""
    found = re.findall(r"(?<![*\w])\*\*([^*\n]{1,40}?)\*\*(?![*\w])", sections(path)[""])
    return {term.lower().rstrip(".:") for term in found}


@pytest.mark.parametrize("path", sorted(BOOK.glob("part*/*.ipynb")), ids=lambda path: path.stem)
def test_every_term_that_a_chapter_sets_in_bold_is_there(path: Path) -> None:
    """A new bold word goes into the glossary, or above into EMPHASIS if it is no term."""
    known = {each.lower() for e in ENTRIES for each in [e.english, *SPELLINGS.get(e.english, [])]}
    found = {term for term in bold(path) if not {term, term.removesuffix("s")} & known}
    assert sorted(found - set(" ".join(EMPHASIS.split()).split("; "))) == []


def test_bold_words_are_found() -> None:
    assert {"support set", "query set", "metric"} <= bold(BOOK / "part1" / "01_one_example.ipynb")


def test_confusion_of_metric_and_distance_is_explained() -> None:
    before = GLOSSARY.read_text(encoding="utf-8").partition("```{glossary}")[0]
    assert {"度量", "评价指标", "距离"} <= set(re.findall(rf"{CHINESE}+", before))


def test_an_entry_is_read_in_its_parts() -> None:
    entry = read("```{glossary}\na b\n甲\n乙\n  A, b. [Chapter 1](../x.ipynb#c)\n```\n")[0]
    assert (entry.english, entry.chinese, entry.link) == ("a b", ["甲", "乙"], "../x.ipynb#c")


def test_an_anchor_is_that_of_the_built_book() -> None:
    assert anchor("## Squared or not, and the scale") == "squared-or-not-and-the-scale"
    assert anchor("## What exactly ± means") == "what-exactly--means"


def test_chinese_is_marked_in_text_and_not_in_tags() -> None:
    made = marked('<p title="度量">A 度量 and <b>距离</b></p>')
    chinese = '<span lang="zh-Hans">{}</span>'.format
    assert made == f'<p title="度量">A {chinese("度量")} and <b>{chinese("距离")}</b></p>'
