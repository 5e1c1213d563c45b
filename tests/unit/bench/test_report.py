"""The page and the picture."""

from pathlib import Path

from servers.bench import plot, report
from servers.bench.figures import Results, alone_figures, growth_measures, measures, peer_measures


def results() -> Results:
    made = growth_measures(10, 20, 30) + measures() + peer_measures("peer")
    for figure in made:
        figure.add(2000, 4000)
        figure.add(1000, 4000)
    figures = alone_figures(1_000)
    for alone in figures[:3]:
        alone.ours.extend([90_000.0, 110_000.0])
    return Results(made, {"P3": [0.5, 1.5]}, orders=100, trades=40, notes=["a part was left out"], figures=figures)


def test_the_page_says_every_ratio_its_range_and_how_it_was_measured() -> None:
    page = report.page(results(), {"processor": "2 cores"}, "venue bench", "2026-01-01", "benchmarks.svg")
    assert "| P1 | PlaceOrder, 64 callers | orders/s | 1,500 | echo 4,000 | 0.38 | 0.25 - 0.50 |" in page
    assert "| P6b | whole execute, pure Python | commands/s | 100,000 |  |  | 90,000 - 110,000 | >= 80,000 |" in page
    assert "P10a" not in page.partition("## The run")[0]
    rows = [line.split()[1] for line in page.splitlines() if line.startswith("| P")]
    assert rows == sorted(rows, key=lambda number: int(number.strip("Pabcd")))
    assert "80% of the orders were filled" in page
    assert "catch-up after P3: 1.00 s (0.50 - 1.50)" in page
    assert "a part was left out" in page
    assert "- processor: 2 cores" in page
    assert "![Ratios with their floors and aims](benchmarks.svg)" in page


def test_the_same_figures_draw_the_same_picture(tmp_path: Path) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    assert plot.draw(results().measures, first)
    assert plot.draw(results().measures, second)
    assert first.read_bytes() == second.read_bytes()
