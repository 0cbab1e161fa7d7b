"""Read the pages of the project: README.md and the pages at the rooms' doors."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    ROOT / "tests" / "README.md",
    *sorted(ROOT.glob("gentool/*/README.md")),
    *sorted(ROOT.glob("examples/**/*.md")),
]


def room(name):
    """Return the text of the page at the door of a room."""
    return (ROOT / "gentool" / name / "README.md").read_text("utf-8")


def name_of(page):
    """Return the path of a page from the root of the project."""
    return page.relative_to(ROOT).as_posix()


def section(text, title):
    """Return the text below a heading, up to the next heading of the same level or a higher one."""
    level, rest = re.search(rf"^(#+) {re.escape(title)}\n(.*)", text, re.M | re.S).groups()
    return re.split(rf"^#{{1,{len(level)}}} ", prose_marked(rest), maxsplit=1, flags=re.M)[0]


def prose_marked(text):
    """Indent comments in blocks of code, which would otherwise look like headings."""
    return re.sub(r"```.*?```", lambda block: re.sub(r"\n#", "\n #", block[0]), text, flags=re.S)


def blocks(text, language):
    """Return the blocks of code of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text):
    """Return the arguments of the gentool commands in the sh blocks of a text, in order."""
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    lines = [line for line in lines if re.match(r"(gentool|torchrun.* gentool) ", line)]
    return [arguments(shlex.split(line, comments=True)) for line in lines]


def arguments(words):
    """Return what follows gentool, up to a pipe or another command."""
    rest = words[words.index("gentool") + 1 :]
    ends = [rest.index(word) for word in ("|", "&&", ";") if word in rest]
    return rest[: min(ends, default=len(rest))]


def anchors(text):
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", prose_marked(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
