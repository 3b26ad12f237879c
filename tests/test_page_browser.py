"""The page of a result in a browser: charts are drawn, linked with the table, and nothing goes wrong or goes out."""

import json
import shutil
import time

import numpy as np
import pytest

import jopt
from tests import browser, pages

pytest.importorskip("plotly")
pytest.importorskip("jinja2")
if browser.found() is None or shutil.which("bash") is None:
    pytest.skip("needs chromium: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def chromium():
    started = browser.Browser()
    yield started
    started.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens the page of a result; in the end nothing may have gone wrong or out in any of them."""
    made = []

    def open_page(result, **options):
        path = result.report(tmp_path / f"{len(made)}.html")
        made.append(chromium.open(path, **options))
        return made[-1]

    yield open_page
    for page in made:
        assert page.errors == []
        assert page.requests == []
        assert page.run("document.getElementById('trouble').hidden")
        page.close()


def rates(settings=26):
    return pages.many(settings, 400, points=60)


def counted(page):
    """The traces of each chart, and the lines that are drawn of them."""
    return page.run(
        "[...document.querySelectorAll('.chart')].map((e) => [e.id, e.data.length, e.querySelectorAll('.trace').length])"
    )


def shown(page):
    """The first two cells of the rows that the table shows, top down."""
    return page.run(
        "[...document.querySelectorAll('#settings tbody tr')].filter((r) => !r.hidden)"
        ".map((r) => [r.cells[1].textContent, r.cells[2].textContent])"
    )


def on_curve(page, k):
    """Where the best curve, which lies on top, has its point k."""
    return page.run(
        f"""(() => {{ const e = document.getElementById("curves"); e.scrollIntoView({{block: "center"}});
        const t = e.data.at(-1), f = e._fullLayout, r = e.getBoundingClientRect();
        return [r.x + f.xaxis._offset + f.xaxis.d2p(t.x[{k}]), r.y + f.yaxis._offset + f.yaxis.d2p(t.y[{k}])]; }})()"""
    )


def losses(page):
    return page.run("[...document.querySelectorAll('#settings tbody tr')].map((r) => r.cells[4].textContent)")


def becomes(read, expected, seconds=10):
    """Whether what is read is soon what is expected; a chart answers the mouse a moment later, on a busy machine a long one."""
    end = time.monotonic() + seconds
    while (found := read()) != expected and time.monotonic() < end:
        time.sleep(0.05)
    return found == expected


def lit(page):
    """The settings that are marked in the table, and those whose curves are."""
    return page.run(
        "[[...document.querySelectorAll('#settings tbody tr.lit')].map((r) => DATA.rows.findIndex((row) =>"
        " row.label === r.querySelector('button').getAttribute('aria-label').slice(5))),"
        " document.getElementById('curves').data.filter((t) => t.line.width === 3.5).map((t) => t.meta.row)]".replace(
            "DATA", "JSON.parse(document.getElementById('data').textContent)"
        )
    )


RESULTS = {
    "one setting": (lambda: pages.quadratic(jopt.sgd(0.1), seeds=2), {"curves": 2}),  # with its band
    "26 rates": (rates, {"curves": 26, "": 5}),
    "300 rates": (lambda: rates(300), {"curves": 300, "": 4}),
    "two axes, pruned and diverged": (pages.two_axes, {"curves": 12, "": 5, "parallel": 12}),
    "odd names": (pages.hostile, {"curves": 9, "parallel": 9 + 6}),  # with the dashed parts of those without the second axis
    "all diverged": (lambda: pages.quadratic(jopt.sgd(jopt.geomspace(1e3, 1e4, 3)), steps=80), {"curves": 3, "": 1}),
    "structure": (
        lambda: pages.quadratic(jopt.sgd(0.1, momentum=jopt.choice(None, 0.5), nesterov=jopt.choice(False, True))),
        {"curves": 4, "parallel": 4},
    ),
    "drawn": (
        lambda: pages.quadratic(jopt.adam(jopt.loguniform(1e-3, 1.0), b1=jopt.uniform(0.5, 0.9)), samples=16),
        {"curves": 16, "parallel": 16},
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_every_chart_is_drawn(name, opened):
    make, expected = RESULTS[name]
    page = opened(make())
    charts = counted(page)
    assert all(traces and drawn >= traces - 2 for _, traces, drawn in charts), charts
    found = {which: traces for which, traces, _ in charts}
    assert {which: found[which] for which in expected if which} == {k: v for k, v in expected.items() if k}
    assert page.run("[...document.querySelectorAll('.chart svg.main-svg')].every((e) => e.getBoundingClientRect().width > 200)")


def test_a_setting_passes_by_axes_that_its_group_does_not_have_with_a_dashed_line(opened):
    rates, three = jopt.geomspace(1e-3, 0.1, 3), jopt.geomspace(0.01, 0.1, 3, name="other_rate")
    page = opened(pages.quadratic({"a": jopt.sgd(rates, momentum=jopt.choice(0.1, 0.5)), "b": jopt.sgd(three)}))
    drawn = page.run("document.getElementById('parallel').data.map((t) => [t.meta.row, t.line.dash, t.x, t.y])")
    groups = page.run("JSON.parse(document.getElementById('data').textContent).rows.map((row) => row.group)")
    dashed = [(row, x, y) for row, dash, x, y in drawn if dash != "solid"]
    assert {groups[row] for row, *_ in dashed} == {0}  # the other axis is the last before the scores, which b comes from
    assert len(dashed) == 6
    whole = {row: y for row, dash, _, y in drawn if dash == "solid"}
    for row, x, y in dashed:
        assert (x, y) == ([1, 3, None], [whole[row][1], whole[row][3], None])
        assert whole[row][2] is None
    assert page.run("document.getElementById('parallel')._fullLayout.xaxis.tickangle") == 0


def test_a_line_joins_the_scores_of_each_group_also_along_an_axis_that_only_one_has(opened):
    two = jopt.adam(jopt.geomspace(1e-3, 0.1, 3, name="rate"), b1=jopt.choice(0.5, 0.9))
    result = pages.quadratic({"one": jopt.sgd(jopt.geomspace(1e-3, 10.0, 3)), "two": two}, steps=80)
    page = opened(result)
    lines = "Object.fromEntries([...document.querySelectorAll('.response')].map((e) => "
    lines += "[e.querySelector('.xtitle').textContent, e.data.find((t) => t.mode === 'lines').y]))"
    found = page.run(lines)
    scores = [result["one"].trial({"learning_rate": rate}).score for rate in (1e-3, 0.1)]
    assert found["learning_rate"] == [*(pytest.approx(score, rel=1e-5) for score in scores), None]  # the last one diverged
    best = [min(result["two"].trial({"rate": rate, "b1": b1}).score for b1 in (0.5, 0.9)) for rate in (1e-3, 1e-2, 0.1)]
    assert found["rate"] == pytest.approx(best, rel=1e-5)


def test_names_are_shown_as_they_are_and_do_nothing(opened):
    page = opened(pages.hostile(), before="window.hacked = () => { window.was = true; }")
    assert page.run("window.was") is None
    assert (
        page.run("document.querySelectorAll('.modebar-btn').length / document.querySelectorAll('.chart').length") == 4
    )  # nothing sends
    assert page.run("document.querySelectorAll('main img, main b, main a:not(.modebar-btn)').length") == 0
    text = page.run("document.getElementById('legend').textContent")
    assert "<script>hacked()" in text
    assert "_x_$y$" in text
    titles = page.run("[...document.querySelectorAll('.chart .ytitle')].map((e) => e.textContent)")
    assert titles[0] == "<svg onload=hacked()>{{ 7 * 7 }} $x_1$ %{y}"
    page.move(*on_curve(page, 6))
    hover = page.waited("document.querySelector('#curves .hoverlayer').textContent")
    assert "<script>hacked(): learning_rate=0.01" in hover
    assert page.run("window.was") is None


def test_rows_are_filtered_by_numbers_and_the_charts_follow(opened):
    page = opened(pages.two_axes())
    page.type("input[aria-label^='Filter learning_rate']", ">=0.1")
    assert {row[1] for row in shown(page)} == {"0.1", "1"}
    assert page.run("document.getElementById('count').textContent") == "6 of 12 settings"
    assert counted(page)[0][1] == 6 + 6  # few enough for bands
    page.type("input[aria-label^='Filter b1']", "0.6..0.95")
    assert [row[1] for row in shown(page)] == ["0.1", "1"]
    page.type("input[aria-label^='Filter b1']", "high")
    assert page.run("document.querySelector('input[aria-label^=\"Filter b1\"]').getAttribute('aria-invalid')") == "true"
    assert len(shown(page)) == 6
    page.click(*page.middle("#clear"))
    assert len(shown(page)) == 12
    page.run(
        "(() => { const s = document.querySelector(\"select[aria-label='Filter state']\"); s.value = 'pruned';"
        " s.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    assert len(shown(page)) == 2


def test_a_button_sorts_and_what_has_no_value_stays_last(opened):
    page = opened(pages.two_axes())
    page.click(*page.middle("th button[data-column='3']"))  # the loss
    up = losses(page)
    assert up[:9] == sorted(up[:9], key=float)
    page.click(*page.middle("th button[data-column='3']"))
    down = losses(page)
    assert down[:9] == up[:9][::-1]
    assert down[9:] == up[9:] == ["(1.775)", "(3.151)", ""]


def test_the_keyboard_sorts_and_marks(opened):
    page = opened(pages.two_axes())
    page.run("document.querySelector(\"th button[data-column='1']\").focus()")
    page.press("Enter")
    assert page.run("document.querySelectorAll('#settings th')[2].getAttribute('aria-sort')") == "ascending"
    assert [row[1] for row in shown(page)][:3] == ["0.001"] * 3
    page.run("document.querySelector('#settings tbody tr button').focus()")
    page.settled()
    rows, curves = lit(page)
    assert len(rows) == 1
    assert rows == curves
    page.press("Enter")
    page.run("document.activeElement.blur()")
    page.settled()
    assert page.run("document.querySelectorAll('#settings tbody tr.marked').length") == 1
    assert becomes(lambda: lit(page), [rows, curves])


def test_pointing_at_a_row_marks_its_curve_and_its_point(opened):
    page = opened(rates())
    page.move(*page.middle("#settings tbody tr:nth-child(4) td:nth-child(3)"))
    assert becomes(lambda: lit(page), [[3], [3]])
    bright = page.run(
        "document.querySelector('.response').data.filter((t) => t.customdata)"
        ".flatMap((t) => t.customdata.filter((_, k) => t.marker.opacity[k] === 1))"
    )
    assert bright == [3]
    assert "val_loss" in page.run("document.getElementById('readout').textContent")
    page.move(5, 5)
    assert becomes(lambda: lit(page), [[], []])


def test_pointing_at_a_curve_marks_its_row(opened):
    page = opened(rates())
    x, y = on_curve(page, 20)
    page.move(x, y)
    assert becomes(lambda: lit(page), [[0], [0]])
    page.click(x, y)
    page.move(5, 5)
    assert becomes(lambda: lit(page), [[0], [0]])  # kept
    page.click(*page.middle("#unmark"))
    page.move(5, 5)
    assert becomes(lambda: lit(page), [[], []])


def test_pointing_at_a_point_marks_its_row_which_is_scrolled_to(opened):
    page = opened(rates(100))
    x, y = page.run(
        """(() => { const e = document.querySelector(".response"); e.scrollIntoView({block: "center"});
        const t = e.data.find((t) => t.customdata), f = e._fullLayout, r = e.getBoundingClientRect(), k = 50;
        return [r.x + f.xaxis._offset + f.xaxis.d2p(t.x[k]), r.y + f.yaxis._offset + f.yaxis.d2p(t.y[k])]; })()"""
    )
    page.move(x, y)
    assert becomes(lambda: len(lit(page)[0]), 1)
    (row,), curves = lit(page)
    assert [row] == curves
    line, box = (
        page.run(f"document.querySelector('{which}').getBoundingClientRect().toJSON()") for which in ("tr.lit", ".scroll")
    )
    assert box["top"] <= line["top"] < line["bottom"] <= box["bottom"]


def test_a_box_in_a_chart_of_scores_filters_the_table(opened):
    page = opened(pages.two_axes())
    begin, end = page.run(
        """(() => { const e = document.querySelector(".response"); e.scrollIntoView({block: "center"});
        const f = e._fullLayout, r = e.getBoundingClientRect(), x = f.xaxis, y = f.yaxis;
        const left = r.x + x._offset + x.d2p(0.05), right = r.x + x._offset + x.d2p(0.2);
        return [[left, r.y + y._offset + 2], [right, r.y + y._offset + y._length - 2]]; })()"""
    )
    page.drag(begin, end)
    assert {row[1] for row in shown(page)} == {"0.1"}
    assert page.run("document.getElementById('count').textContent") == "3 of 12 settings, chosen in a chart"
    page.click(*page.middle("#clear"))
    assert len(shown(page)) == 12


def test_another_metric_is_chosen(opened):
    page = opened(rates())
    title = "document.querySelector('#curves .ytitle').textContent"
    assert page.run(title) == "val_loss"
    page.run("(() => { const s = document.getElementById('metric'); s.value = '1'; s.dispatchEvent(new Event('change')); })()")
    page.settled()
    assert page.run(title) == "val_accuracy"
    assert page.run("document.getElementById('curves')._fullLayout.yaxis.type") == "linear"
    page.click(*page.middle("#magnitude"))
    assert page.run("document.getElementById('curves')._fullLayout.yaxis.type") == "log"


def _luminance(colour):
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(page, selector):
    colours = json.dumps(selector)
    text, back = page.run(
        f"""(() => {{ let e = document.querySelector({colours}); const text = getComputedStyle(e).color;
        while (getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)") e = e.parentElement;
        return [text, getComputedStyle(e).backgroundColor]; }})()"""
    )
    high, low = sorted([_luminance(text), _luminance(back)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(dark, opened):
    page = opened(pages.two_axes(), dark=dark)
    for selector in ("#answer", ".warning", ".summary", "tr.pruned td", "th button", "dt", "code", ".note", ".legend span"):
        assert contrast(page, selector) >= 4.5, selector
    ink = page.run("getComputedStyle(document.querySelector('#curves .xtick text')).fill")
    assert (_luminance(ink) > 0.5) == dark


def test_the_charts_follow_when_the_scheme_changes(opened):
    page = opened(rates(3))
    page.scheme(dark=True)
    page.settled()
    assert _luminance(page.run("getComputedStyle(document.querySelector('#curves .xtick text')).fill")) > 0.5


@pytest.mark.parametrize("name", ["two axes, pruned and diverged", "odd names", "300 rates"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(name, opened):
    page = opened(RESULTS[name][0](), width=390, height=844, touch=True)
    assert page.run("document.documentElement.scrollWidth") <= 390
    assert page.run("[...document.querySelectorAll('.chart')].every((e) => e._fullLayout.width <= 390)")
    assert not page.run("document.querySelector('.response')._fullLayout.dragmode")  # a finger scrolls


def wordy():
    """A result of several axes with a long line of code."""
    rule = jopt.adamw(jopt.cosine_decay_schedule(jopt.geomspace(0.01, 0.1, 2), 30), b1=jopt.choice(0.5, 0.9))
    rule = jopt.chain(jopt.clip_by_global_norm(jopt.choice(0.5, 1.0)), rule, jopt.add_decayed_weights(jopt.choice(0.0, 0.01)))
    return pages.quadratic({"one": rule, "another": jopt.sgd(jopt.geomspace(1e-3, 0.1, 3))}, seeds=2)


@pytest.mark.parametrize("width", [1300, 1700])
def test_the_table_is_not_cut_off_where_the_window_has_room_and_filters_do_not_move_charts(width, opened):
    page = opened(wordy(), width=width)
    cut = "(() => { const e = document.querySelector('#table .scroll'); return e.scrollWidth - e.clientWidth; })()"
    assert page.run(cut) <= 0
    assert page.run("document.querySelector('.copy').getBoundingClientRect().height") < 40
    places = "[...document.querySelectorAll('.chart')].map((e) => [e.offsetLeft, e.offsetWidth])"
    before = page.run(places)
    page.type("input[aria-label^='Filter learning_rate']", "<0.01")
    assert page.run(places) == before


def test_it_prints(opened):
    page = opened(pages.two_axes(), dark=True)
    assert page.pdf().startswith(b"%PDF")


def test_without_scripts_the_answer_and_the_table_are_there(opened, chromium, tmp_path):
    path = pages.two_axes().report(tmp_path / "plain.html")
    page = chromium.open(path, scripts=False)
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    names = [node.get("name", {}).get("value", "") for node in tree]
    assert any("use 0.1" in name for name in names)
    assert any("need JavaScript" in name for name in names)
    assert sum(node.get("role", {}).get("value") == "row" for node in tree) >= 14
    assert (page.errors, page.requests) == ([], [])
    page.close()


def test_where_the_charts_can_not_be_unpacked_it_says_so_and_the_table_works(chromium, tmp_path):
    path = pages.two_axes().report(tmp_path / "old.html")
    page = chromium.open(path, before="delete window.DecompressionStream")
    assert "the table has all numbers" in page.run("document.getElementById('trouble').textContent")
    assert not page.run("document.getElementById('trouble').hidden")
    page.type("input[aria-label^='Filter learning_rate']", "<0.01")
    assert {row[1] for row in shown(page)} == {"0.001"}
    page.close()


def test_headers_rows_and_charts_have_names_for_screen_readers(opened):
    page = opened(pages.two_axes())
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    roles = [node.get("role", {}).get("value") for node in tree if not node.get("ignored")]
    assert roles.count("columnheader") == 8
    named = [
        node
        for node in tree
        if node.get("role", {}).get("value") in ("button", "textbox", "combobox", "image", "table", "checkbox")
    ]
    assert [node for node in named if not node.get("ignored") and not node.get("name", {}).get("value")] == []
