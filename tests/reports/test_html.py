"""The report's page in a real browser: what a reader sees, taps and prints."""

import dataclasses
import re

import pytest

from raydistill.reports.formats.html import to_page
from raydistill.reports.sweep_report import report_content
from support import browser
from support.reported import FAILURE, LATE, cell, sweep, whole_sweep

HOSTILE = "<script>document.title = 'taken'</script>"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of one sweep, open in a browser as wide as a screen."""
    folder = tmp_path_factory.mktemp("page")
    changes = {"location": HOSTILE, "values": {"age": LATE.age, "location": HOSTILE}}
    hostile = dataclasses.replace(cell("input"), **changes)
    report = whole_sweep()
    (folder / "report.html").write_text(
        to_page([report_content(dataclasses.replace(report, cells=(*report.cells, hostile)))]),
        "utf-8",
    )
    with browser.chromium(folder / "profile") as driver:
        browser.requests(driver)
        driver.get(f"file://{folder}/report.html")
        driver.requests_seen = browser.requests(driver)
        yield driver


def late_column(page, place):
    """The texts of a column of the second block, from the top."""
    script = (
        "return [...document.querySelectorAll('table.cells')[1].tBodies[0].rows]"
        f".map(row => row.cells[{place}].firstChild.textContent.trim())"
    )
    return page.execute_script(script)


def head(page, place):
    tables = page.find_elements("css selector", "table.cells")
    return tables[1].find_elements("css selector", "thead button")[place]


def test_a_click_on_a_header_sorts_and_the_next_one_turns_the_order(page):
    browser.resize(page, 1200)
    as_printed = late_column(page, 0)
    head(page, 1).click()
    there = [float(text) for text in late_column(page, 1) if text != "–"]
    assert there == sorted(there)
    assert late_column(page, 1)[-1] == "–"  # the failed one
    head(page, 1).click()
    turned = [float(text) for text in late_column(page, 1) if text != "–"]
    assert turned == sorted(turned, reverse=True)
    assert late_column(page, 1)[-1] == "–"
    head(page, 0).click()
    assert late_column(page, 0) == as_printed


@pytest.mark.parametrize("width", [320, 360, 400, 1200])
def test_nothing_is_wider_than_the_screen(page, width):
    browser.resize(page, width)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.execute_script(wide) == 0


def test_nothing_is_requested_from_any_network(page):
    ours = [url for url in page.requests_seen if not url.startswith(("data:", "chrome", "about:"))]
    assert [url.partition(":")[0] for url in ours] == ["file"]
    assert page.get_log("browser") == []
    drawn = "return [...document.images].every(image => image.complete && image.naturalWidth > 0)"
    assert page.execute_script(drawn)
    assert page.execute_script("return document.images.length") >= 4


def test_a_name_that_looks_like_a_script_stays_text(page):
    assert page.title == "Where in the model should the layers come out of?"
    assert HOSTILE in late_column(page, 0)


def test_the_paper_s_numbers_are_there_until_they_are_switched_off(page):
    browser.resize(page, 1200)
    printed = page.find_elements("css selector", ".paper.printed")
    assert any(element.text == "paper +10.97" for element in printed)
    switch = page.find_element("id", "paper")
    switch.click()
    assert not any(element.is_displayed() for element in printed)
    switch.click()


def test_a_phone_shows_one_comparison_at_a_time_and_paper_shows_both(page):
    browser.resize(page, 400)
    base = page.find_element("css selector", ".cells td.base")
    control = page.find_element("css selector", ".cells td.control")
    assert (base.is_displayed(), control.is_displayed()) == (True, False)
    page.find_element("css selector", "input[value=control]").click()
    assert (base.is_displayed(), control.is_displayed()) == (False, True)
    page.find_element("css selector", "input[value=base]").click()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert base.is_displayed()
    assert control.is_displayed()
    assert not page.find_element("css selector", ".controls").is_displayed()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_what_the_paper_says_is_compared_in_words(page):
    assert "Neither for nor against the paper (300M-320B: output loses most" in page.page_source


@pytest.mark.parametrize("report", [sweep([], []), sweep([cell("input", outcome=FAILURE)], [])])
def test_a_page_of_nothing_is_a_page(report):
    text = to_page([report_content(report)])
    assert re.search("no cells|failed in training", text)
    assert "NaN" not in text


def test_the_order_of_the_cells_changes_nothing_of_the_page():
    cells = [cell("input"), cell("middle"), cell("none")]
    page = to_page([report_content(sweep(cells))])
    assert page == to_page([report_content(sweep(cells[::-1]))])
    assert re.findall(r'data-sort="\d">([\w ()]+)<svg', page) == [
        "input",
        "middle",
        "none (control)",
    ]
