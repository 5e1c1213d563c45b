"""The ratios as a picture, each with its range, its floor and its aim."""

from collections.abc import Sequence
from pathlib import Path

from servers.bench.figures import Measure


def draw(measures: Sequence[Measure], path: Path) -> bool:
    """Write an SVG. Returns whether matplotlib, which only development environments have, is there to do it."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    mpl.rcParams["svg.hashsalt"] = "venue"
    groups = [
        ("to echo, orders/s (large is good)", [m for m in measures if m.number in {"P1", "P2", "P3"}]),
        ("to echo, time (small is good)", [m for m in measures if m.number.startswith("P4")]),
        ("to matching-engine, orders/s (large is good)", [m for m in measures if m.number.startswith("P5")]),
        ("the machine in memory (large is good)", [m for m in measures if m.number[:2] in {"P6", "P8"}]),
    ]
    shown = [(title, group) for title, group in groups if group]
    figure = Figure(figsize=(9, 1.1 * sum(len(group) for _, group in shown) + 1), layout="constrained")
    axes = figure.subplots(
        len(shown), 1, squeeze=False, gridspec_kw={"height_ratios": [len(group) for _, group in shown]}
    )
    for (title, group), axis in zip(shown, axes[:, 0], strict=True):
        heights = list(range(len(group)))
        ratios = [m.ratio for m in group]
        spread = [[m.ratio - min(m.ratios) for m in group], [max(m.ratios) - m.ratio for m in group]]
        axis.barh(heights, ratios, height=0.5, color="#4a7ebb", xerr=spread, ecolor="#333333", capsize=3)
        for height, measure in zip(heights, group, strict=True):
            axis.plot([measure.goal.floor] * 2, [height - 0.4, height + 0.4], color="#c0392b", linewidth=2)
            axis.plot([measure.goal.aim] * 2, [height - 0.4, height + 0.4], color="#2e8b57", linewidth=2, linestyle=":")
        axis.set_yticks(heights, [f"{m.number}  {m.what}" for m in group])
        axis.invert_yaxis()
        axis.set_xlim(left=0)
        axis.set_title(f"{title}; red: floor, green: aim", loc="left", fontsize=9)
    figure.savefig(path, metadata={"Date": None})
    return True
