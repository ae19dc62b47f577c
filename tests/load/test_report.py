from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.report import Finding
from senior_backend.load import (
    charts,
    report_csv,
    report_data,
    report_html,
    report_text,
    server_metrics,
    slo,
    statistics,
)
from senior_backend.load import validity as validity_
from senior_backend.load.model import (
    ErrorExample,
    ErrorKind,
    Gauges,
    GeneratorStats,
    Plan,
    RunResult,
    Stage,
    Target,
)
from senior_backend.load.samples import Samples
from senior_backend.load.server_metrics import Point

if TYPE_CHECKING:
    from pathlib import Path

EVIL = '<script>alert(1)</script> & "quotes" {{ 7*7 }}'
SECOND = 1_000_000_000


def run_of(seconds: int, rate: int, failed_every: int = 0) -> RunResult:
    """A made-up run: 5 ms each, and a stall of 2 s in the middle that empties linearly."""
    samples = Samples()
    middle = seconds // 2 * SECOND
    for number in range(seconds * rate):
        at = number * SECOND // rate
        response = 5_000_000 + (max(0, middle + 2 * SECOND - at) if at >= middle else 0)
        failed = bool(failed_every) and number % failed_every == 0
        row = {"intended": at, "lag": 10_000, "wait": 0, "first_byte": 4_000_000, "response": response}
        row |= {"status": 503 if failed else 200, "request": number % 2, "error": ErrorKind.STATUS if failed else 0}
        for name, value in row.items():
            getattr(samples, name).append(value)
    samples.connects.append(100_000)
    count = sum(1 for error in samples.error if error)
    example = ErrorExample(f"status 503: {EVIL}", EVIL, 0.5)
    return RunResult(
        plan=Plan(Target("http", "127.0.0.1", 8000), (Stage(seconds, rate, rate),), arrivals="constant"),
        names=(EVIL, "other"),
        samples=samples,
        errors={ErrorKind.STATUS: count} if count else {},
        examples={ErrorKind.STATUS: example} if count else {},
        statuses={200: len(samples) - count, 503: count} if count else {200: len(samples)},
        generator=GeneratorStats(0.1, 1, seconds, 9, 1024, False, False, 100, 7, 7, 0, 0, 0, 0.01),
        gauges=Gauges((0,), (0,), (0,), (0,)),
        planned=len(samples),
        warmup=0,
        started_at=1_700_000_000,
        elapsed_s=seconds,
    )


class Page(HTMLParser):
    """What a browser would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(result: RunResult, **more: object) -> str:
    summary = statistics.summarize(result)
    judged = slo.judge(slo.parse("p99<200ms,errors<1%"), result, summary)
    shown = report_html.Page(EVIL, ExitCode.FAILED, EVIL, (Finding("x", "warning", EVIL, None, EVIL),), judged)
    return report_html.page(shown, result, summary)


def test_the_page_needs_no_network_and_runs_nothing() -> None:
    text = page_of(run_of(10, 50, 7))
    page = Page(text)
    assert not {"script", "link", "iframe", "img", "object", "base", "form"} & {tag for tag, _ in page.tags}
    loading = {"src", "href", "srcset", "action", "xlink:href", "style"}
    assert not [attributes for _, attributes in page.tags if loading & set(attributes)]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?://(?!127)", text)
    assert EVIL in page.text
    assert "<script" not in text
    assert "49" not in Page(text).text.split("quotes")[1][:20]
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_the_page_shows_every_part() -> None:
    page = Page(page_of(run_of(10, 50, 7)))
    headings = ("Response time over time", "Response time by percentile", "Requests per second", "Errors by class")
    for heading in (*headings, "Objectives", "Findings", "Requests", "Generator"):
        assert heading in page.text
    assert (
        sum(tag == "svg" and "viewbox" in attributes and "aria-label" in attributes for tag, attributes in page.tags)
        == 3
    )
    columns = {attributes["x"] for tag, attributes in page.tags if tag == "rect"}
    assert len(columns) > 50  # a stall of a tenth of a second shows in a run of ten
    lines = [attributes for tag, attributes in page.tags if tag == "polyline"]
    assert {"asked", "answered", "failed", "service"} <= {str(line["class"]) for line in lines}
    numbers = re.findall(r"-?\d+\.?\d*", " ".join(str(line["points"]) for line in lines))
    assert all(-1 <= float(number) <= charts.WIDTH + 1 for number in numbers)


def test_the_heat_map_shows_the_stall_where_it_was() -> None:
    result = run_of(20, 50)
    chart = charts.heat_chart(charts.fine_heat(result.samples))
    assert chart is not None
    slow = [cell for cell in chart.cells if "at 10." in cell.title]
    assert max(slow, key=lambda cell: -cell.y).title.split(" took ")[1].startswith("1.78 s to")
    counted = sum(int(cell.title.split(" ")[0].replace(",", "")) for cell in chart.cells)
    assert counted == len(result.samples)


def test_charts_of_nothing_are_left_out() -> None:
    empty = Samples()
    assert charts.heat_chart(charts.fine_heat(empty)) is None
    assert charts.curve_chart([("x", "y", ())]) is None
    assert charts.rate_chart(()) is None
    assert charts.series_chart("x", "y", [("a", "b", [(0.0, 1.0)])]) is None


@pytest.mark.parametrize("high", [0.0, 0.3, 1, 7, 99, 101, 12_345])
def test_axes_cover_their_values(high: float) -> None:
    steps = charts.nice_steps(high)
    assert steps[0] == 0
    assert steps[-1] >= high
    assert len(steps) <= 8


@pytest.mark.parametrize(("low", "high"), [(0.05, 0.06), (1, 1), (0.1, 30_000), (3, 4000)])
def test_logarithmic_axes_cover_their_values(low: float, high: float) -> None:
    ticks, bottom, top = charts.decades(low, high)
    assert bottom <= low <= high <= top
    assert len(ticks) >= 1
    place = charts.logarithmic(bottom, top, 0, 100)
    assert 0 <= place(low) <= place(high) <= 100


def test_the_text_names_the_percentile_the_state_and_the_limit() -> None:
    result = run_of(20, 100, 50)
    summary = statistics.summarize(result)
    validity = validity_.judge(result, summary)
    judged = slo.judge(slo.parse("p99<200ms,errors<5%"), result, summary)
    text = report_text.run_text(result, summary, validity, judged, heading="GET /x", colour=False)
    assert "BROKEN" in text
    assert re.search(r"errors<5%\s+holds", text)
    assert "503: 40" in text
    assert "\x1b" not in text
    assert re.search(r"response time +\d+ ms", text)
    assert "\x1b[31m" in report_text.run_text(result, summary, validity, judged, heading="x", colour=True)


def test_json_stays_bounded_however_long_the_run() -> None:
    result = run_of(400, 10)
    summary = statistics.summarize(result)
    data = report_data.run_data(result, summary, validity_.judge(result, summary), (), "http://x")
    assert len(data["timeline"]) <= report_data.TIMELINE_ROWS
    assert sum(row["sent"] for row in data["timeline"]) == 4000
    assert max(row["max_ms"] for row in data["timeline"]) == pytest.approx(2005, abs=1)
    assert len(report_csv.seconds_csv(summary).splitlines()) == 1 + len(summary.timeline)


def test_milliseconds_for_people() -> None:
    assert [report_text.ms(value) for value in (None, 0.123, 12.34, 1234.5)] == ["-", "0.12 ms", "12.3 ms", "1,234 ms"]


METRICS = """\
# HELP http_request_duration_seconds x
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{method="GET",path="/a \\"b\\", {c}",le="0.01"} %d
http_request_duration_seconds_bucket{method="GET",path="/a \\"b\\", {c}",le="0.1"} %d
http_request_duration_seconds_bucket{method="GET",path="/a \\"b\\", {c}",le="+Inf"} %d 1700000000000
http_request_duration_seconds_sum %g
db_pool_checked_out{pool="main"} %d
process_cpu_seconds_total %g
garbage line
nan_gauge NaN
"""


def scrape(at: float, *values: float) -> Point:
    return Point(at, server_metrics.parse(METRICS % values))


def test_prometheus_text_is_read_with_its_labels() -> None:
    found = server_metrics.parse(METRICS % (1, 2, 3, 0.5, 4, 1))
    assert (
        found["http_request_duration_seconds_bucket", (("le", "+Inf"), ("method", "GET"), ("path", '/a \\"b\\", {c}'))]
        == 3
    )
    assert found["db_pool_checked_out", (("pool", "main"),)] == 4
    assert len(found) == 7
    assert server_metrics.parse("<html>\nnot metrics at all\n") == {}


def test_the_servers_latency_is_what_it_gained_during_the_run() -> None:
    rows = server_metrics.latency(scrape(0, 100, 200, 200, 10, 1, 5), scrape(10, 150, 250, 250, 12.5, 9, 11))
    assert rows[0]["count"] == 50
    assert rows[0]["mean_ms"] == 50
    assert rows[0]["p50_ms"] == pytest.approx(5, abs=0.1)
    restarted = server_metrics.latency(scrape(0, 100, 200, 200, 10, 1, 5), scrape(10, 10, 20, 20, 1, 9, 1))
    assert restarted[0]["count"] == 20


def test_quantiles_beyond_the_last_bucket_are_not_made_up() -> None:
    buckets = {0.01: 10.0, 0.1: 50.0, float("inf"): 100.0}
    assert server_metrics.quantile(buckets, 0.3) == pytest.approx(0.055)
    assert server_metrics.quantile(buckets, 0.9) is None
    assert server_metrics.quantile({}, 0.5) is None


def test_the_summary_has_cpu_queues_and_failures() -> None:
    watched = server_metrics.Watched([scrape(0, 1, 1, 1, 1, 1, 5), scrape(10, 2, 2, 2, 2, 9, 11)], [], 2, "gone")
    view = server_metrics.summarize(watched)
    assert view["cpu_cores"] == 0.6
    assert view["gauges"] == [{"metric": "db_pool_checked_out", "least": 1, "most": 9, "last": 9}]
    assert view["failed_scrapes"] == 2


def test_a_process_is_seen_with_its_children(tmp_path: Path) -> None:
    for pid, children, ticks in ((7, "8", 150), (8, "", 50)):
        folder = tmp_path / str(pid) / "task" / str(pid)
        folder.mkdir(parents=True)
        (folder / "children").write_text(children)
        fields = " ".join(["S", *["0"] * 10, str(ticks), "50", *["0"] * 8, "1000", "0"])
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a (b) c) {fields}")
    cpu, rss = server_metrics.process_usage(7, tmp_path)
    assert cpu == pytest.approx(3.0)
    assert rss % 2000 == 0
    assert rss > 0
    with pytest.raises(FileNotFoundError):
        server_metrics.process_usage(99, tmp_path)
