"""Make Matplotlib's SVG a part of a page: without what belongs to a file, with ids of its own.

The traps avoided: ids that two figures on one page share, styles of a figure that apply to the
whole page, and the namespace prefixes of XML, which HTML does not know.
"""

import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from gentool.figures.save import as_bytes

LEFT_OUT = ("metadata", "style", "title", "desc")
FONTS = "'DejaVu Sans',Verdana,sans-serif"  # Matplotlib's own letters, or ones as wide
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONTS = re.compile(r"'DejaVu Sans'[^;]*")
_LINK = "{http://www.w3.org/1999/xlink}href"


def inline_svg(figure: Figure, prefix: str) -> str:
    """Return a figure as an `svg` element of HTML, all its texts escaped.

    Its ids begin with `prefix`. It is hidden from screen readers, for which the page has its words.
    """
    root = ElementTree.fromstring(as_bytes(figure, ".svg").decode())
    _clean(root)
    ids: dict[str, str] = {}
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == _LINK:
                del element.attrib[name]
                element.set("href", f"#{_renamed(value.removeprefix('#'), ids, prefix)}")
            elif "url(#" in value:
                renamed = _REFERENCE.sub(
                    lambda match: f"url(#{_renamed(match[1], ids, prefix)})", value
                )
                element.set(name, renamed)
    for element in root.iter():
        _tidy(element, ids)
    root.attrib = {
        "viewBox": root.get("viewBox", ""),
        "width": root.get("width", ""),
        "height": root.get("height", ""),
        "aria-hidden": "true",
        "focusable": "false",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element) -> None:
    """Remove the parts that are for a file alone, and the namespaces of the names."""
    element.tag = element.tag.rpartition("}")[2]
    for child in list(element):
        if child.tag.rpartition("}")[2] in LEFT_OUT:
            element.remove(child)
        else:
            _clean(child)


def _tidy(element: ElementTree.Element, ids: dict[str, str]) -> None:
    """Rename the id of an element that is referred to, and remove others; shorten its style."""
    name = element.attrib.pop("id", None)
    if name in ids:
        element.set("id", ids[name])
    if style := element.get("style"):
        element.set("style", _FONTS.sub(FONTS, style).replace(": ", ":").replace("; ", ";"))
    for part in ("text", "tail"):
        text = getattr(element, part)
        if text and not text.strip() and element.tag not in ("text", "tspan"):
            setattr(element, part, None)


def _renamed(name: str, ids: dict[str, str], prefix: str) -> str:
    return ids.setdefault(name, f"{prefix}-{len(ids) + 1}")
