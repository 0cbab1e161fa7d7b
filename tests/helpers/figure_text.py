"""Check that a figure can be read: all texts and bars are inside, and no text lies on another."""

import math
from itertools import combinations

from matplotlib.collections import LineCollection
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
        assert_inside(drawn, box, text.get_text())


def check_legends(drawn):
    """Assert that all legends are on the canvas, and none lies on a panel or on another."""
    drawn.canvas.draw()
    legends = [*drawn.legends, *filter(None, (axes.get_legend() for axes in drawn.axes))]
    boxes = [legend.get_window_extent() for legend in legends]
    frames = [axes.get_window_extent() for axes in drawn.axes]
    for box in boxes:
        assert_inside(drawn, box, "legend")
    for i, box in enumerate(boxes):
        assert not any(box.padded(-1).overlaps(other) for other in [*frames, *boxes[i + 1 :]])
    return len(boxes)


def check_bars(drawn):
    """Assert that the bars and points of all curves are inside their axes; return their number."""
    drawn.canvas.draw()
    count = 0
    for axes in drawn.axes:
        frame = axes.get_window_extent().padded(1)
        for bars in axes.findobj(LineCollection):
            for path in bars.get_paths():
                ends = bars.get_transform().transform(path.vertices)
                ends = [end for end in ends if not any(map(math.isnan, end))]
                assert all(frame.contains(*end) for end in ends), axes.get_ylabel()
                count += bool(ends)
        for line in (line for line in axes.lines if line.get_marker() not in ("", "None", None)):
            for point in line.get_transform().transform(line.get_xydata()):
                assert frame.contains(*point), axes.get_ylabel()
    return count


def assert_inside(drawn, box, name):
    """Assert that a box is on the canvas, but for a pixel."""
    assert drawn.bbox.padded(1).contains(*box.min), name
    assert drawn.bbox.padded(1).contains(*box.max), name


def _beyond_their_axis(drawn):
    """Yield the labels of ticks outside the axis, which are not drawn."""
    for axis in [axis for axes in drawn.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)
