"""`raydistill ui`, as a user starts it, in a real browser."""

import signal
import subprocess
import sys

import pytest
from selenium.webdriver.support.wait import WebDriverWait

from support import sweeping
from support.browser import chromium
from support.mlflow_server import free_port, wait_for
from support.tracked_runs import deliver
from support.tracked_samples import LATE, cell, measured, sweep_of

PROGRAM = "from raydistill.cli.console import raydistill; raydistill()"


@pytest.fixture
def tracked(store):
    deliver(store, sweep_of(cell(LATE, "input", measured(LATE, "input"))))
    return store


def test_it_prints_its_address_and_opens_on_the_table_without_an_assistant(tracked, tmp_path):
    port, printed = free_port(), tmp_path / "printed"
    command = [sys.executable, "-c", PROGRAM, "ui", "--port", str(port)]
    with printed.open("w") as file:
        process = subprocess.Popen(
            command, cwd="/", env=sweeping.environment(tracked.root), stdout=file, stderr=file
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        with chromium(tmp_path / "profile") as browser:
            browser.set_window_size(1500, 900)
            browser.get(f"http://127.0.0.1:{port}")
            WebDriverWait(browser, 60).until(lambda b: "perplexity_drop_pct" in text_of(b))
            assert "/experiments/1/runs?" in browser.current_url
            for column in ("location", "layers", "delta_nll", "perplexity_drop_pct"):
                assert column in text_of(browser)
            assert "ssistant" not in text_of(browser)
            panels = browser.find_elements("css selector", "[data-assistant-ui]")
            assert not any(panel.is_displayed() for panel in panels)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code == 143
    table, ends = printed.read_text().splitlines()
    assert table.startswith(f"raydistill/where_to_drop: http://127.0.0.1:{port}/#/experiments/1/")
    assert ends == f"http://127.0.0.1:{port} opens the first; ^C ends it."


def text_of(browser):
    return browser.find_element("tag name", "body").text
