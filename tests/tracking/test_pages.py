"""`raydistill ui`, as a user starts it, in a real browser of a laptop's width."""

import json
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import quote

import psutil
from selenium.webdriver.support.wait import WebDriverWait

from raydistill.driver.run import ui_command
from raydistill.tracking.destination import default_uri
from support import sweeping
from support.browser import chromium, resize
from support.mlflow_server import free_port, wait_for
from support.tracked_runs import deliver, runs_of
from support.tracked_samples import fourteen_cells

PROGRAM = "from raydistill.cli.console import raydistill; raydistill()"
FOLD = "Show more"
STRANGER = "evil.example.org"


def test_it_prints_its_address_and_its_pages_answer_at_a_glance(store, tmp_path):
    deliver(store, fourteen_cells())
    ids = {run.info.run_name: run.info.run_id for run in runs_of(store)}
    port, printed = free_port(), tmp_path / "printed"
    address = f"http://127.0.0.1:{port}"
    as_printed = shlex.split(ui_command(default_uri(store), store))
    command = [sys.executable, "-c", PROGRAM, *as_printed[1:], "--port", str(port)]
    with printed.open("w") as file:
        process = subprocess.Popen(
            command, cwd="/", env=sweeping.environment(tmp_path), stdout=file, stderr=file
        )
    try:
        wait_for(f"{address}/health", process)
        they_are_on_this_machine_alone_and_answer_to_its_names(process, port)
        with chromium(tmp_path / "profile") as browser:
            resize(browser, 1400)
            the_table_has_cells_with_owner_axes_and_drops_in_sight(browser, address)
            table = f"{address}/#/experiments/1/runs"
            a_note_is_a_table_that_is_not_folded(browser, f"{table}/{ids['input age=320B']}")
            the_sweep_is_summed_up(browser, f"{table}/{ids['where_to_drop (laptop)']}")
            runs = [ids[f"{name} age=320B"] for name in ("input", "output", "middle")]
            what_differs_is_compared(browser, address, [*runs, ids["input age=80B"]])
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code == 143
    lines = printed.read_text().splitlines()
    table, charts, ends = (line for line in lines if STRANGER not in line)  # that it was refused
    assert table.startswith(f"raydistill/where_to_drop: {address}/#/experiments/1/")
    assert charts.strip().startswith(f"{address}/#/")
    assert charts.endswith("=CHART (charts)")
    assert ends == f"{address} opens the first; ^C ends it."


def they_are_on_this_machine_alone_and_answer_to_its_names(process, port):
    assert answer(port, "127.0.0.1") == 200
    assert answer(port, STRANGER) == 403
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    sockets = [s.laddr for p in family for s in p.net_connections() if s.status == "LISTEN"]
    assert {address.ip for address in sockets if address.port == port} == {"127.0.0.1"}


def answer(port, host):
    """The status code of a request that calls the server `host`."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/", headers={"Host": f"{host}:{port}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def the_table_has_cells_with_owner_axes_and_drops_in_sight(browser, address):
    browser.get(address)
    shown(browser, "alt-input age=320B")
    assert "/experiments/1/runs?" in browser.current_url
    headings = browser.find_elements("css selector", ".ag-header-cell")
    places = {heading.text.strip(): heading.rect for heading in headings}
    for name in (
        "owner",
        "age",
        "location",
        *(f"{n}_drop_pct" for n in ("perplexity", "downstream")),
    ):
        assert places[name]["x"] + places[name]["width"] <= 1400 - 30, name
    text = text_of(browser)
    for hidden in ("base age=320B", "where_to_drop (laptop)", "ssistant", "shared view"):
        assert hidden not in text
    panels = browser.find_elements("css selector", "[data-assistant-ui]")
    assert not any(panel.is_displayed() for panel in panels)


def a_note_is_a_table_that_is_not_folded(browser, url):
    browser.get(url)
    text = shown(browser, "lost against the control")
    assert "8.3 %" in text
    assert FOLD not in text


def the_sweep_is_summed_up(browser, url):
    browser.get(url)
    text = shown(browser, "best_delta_nll")
    assert re.search(r"num_failed\s+1\b", text)
    assert "max-gap age=320B" in text
    assert FOLD not in text


def what_differs_is_compared(browser, address, runs):
    browser.get(f"{address}/#/compare-runs?runs={quote(json.dumps(runs))}&experiments=[%221%22]")
    text = shown(browser, "Comparing 4 Runs")
    for shown_name in ("age", "location", "delta_nll"):
        assert shown_name in text
    assert "sha256" not in text


def shown(browser, text):
    """The text of the page, once it holds `text`."""
    WebDriverWait(browser, 90).until(lambda b: text in text_of(b))
    return text_of(browser)


def text_of(browser):
    return browser.find_element("tag name", "body").text
