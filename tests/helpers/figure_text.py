"""Check that the text of a figure can be read."""

from itertools import combinations

from matplotlib.text import Text


def check_text(drawn):
    """Assert that no text lies on another, and none is cut off by the edge of the figure."""
    drawn.canvas.draw()
    hidden = set(_beyond_their_axis(drawn))
    texts = [t for t in drawn.findobj(Text) if t.get_visible() and t.get_text().strip()]
    boxes = {text: text.get_window_extent() for text in texts if text not in hidden}
    for (a, a_box), (b, b_box) in combinations(boxes.items(), 2):
        assert not a_box.padded(-1).overlaps(b_box.padded(-1)), (a.get_text(), b.get_text())
    for text, box in boxes.items():
        assert drawn.bbox.padded(1).contains(*box.min), text.get_text()
        assert drawn.bbox.padded(1).contains(*box.max), text.get_text()


def _beyond_their_axis(drawn):
    """Yield the labels of ticks outside the axis, which are not drawn."""
    for axis in [axis for axes in drawn.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)
