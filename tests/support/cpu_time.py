"""CPU seconds of a test run, listed by package at its end.

Counted are the processes that run tests and all that these start, Ray's too.
"""

import contextlib
import os
import threading
from collections import Counter

import psutil
import pytest

from support.forked_workers import FORKED_SERVERS

RAY_WORKER = "ray::"


class CpuTime:
    """Adds up after the last test of a file; workers send their sums to the one who reports."""

    def __init__(self, config):
        self.root, self.sums, self.tests = config.rootpath / "tests", Counter(), Counter()
        self.worker_output = getattr(config, "workeroutput", None)
        self.meter, self.last_s = Meter(), 0.0

    def pytest_collection_finish(self):
        self.add("importing and collecting")
        self.meter.start()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        handled = yield
        package = self.package(item.path)
        self.tests[package] += 1
        if nextitem is None or nextitem.path != item.path:
            self.add(package)
        return handled

    def package(self, path):
        """The folder below `tests/`, or `tests` for what lies in none."""
        parts = path.relative_to(self.root).parts
        return parts[0] if len(parts) > 1 else "tests"

    def add(self, name):
        now_s = self.meter.used_s()
        self.sums[name] += now_s - self.last_s
        self.last_s = now_s

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self):
        if self.worker_output is not None:
            self.worker_output["cpu_time"] = (dict(self.sums), dict(self.tests))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        sums, tests = getattr(node, "workeroutput", {}).get("cpu_time", ({}, {}))
        self.sums.update(sums)
        self.tests.update(tests)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.section("CPU seconds")
        for name, seconds in self.sums.most_common():
            count = f"{self.tests[name]:6d} tests" if self.tests[name] else ""
            terminalreporter.write_line(f"{seconds:8.1f}  {name:28}{count}".rstrip())
        terminalreporter.write_line(f"{self.sums.total():8.1f}  in all")


class Meter(threading.Thread):
    """Notes every two seconds what Ray's workers have used: nobody waits for them when they end."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ray_s, self.never = {}, threading.Event()

    def run(self):
        while not self.never.wait(2.0):
            self.below_s()

    def used_s(self):
        """CPU seconds of this process, of those below it, and of all of them that have ended."""
        return sum(os.times()[:4]) + self.below_s() + sum(self.ray_s.values())

    def below_s(self):
        """Of the processes below this one that are no workers of Ray, whose own are noted."""
        others_s = 0.0
        for process in self.below():
            with contextlib.suppress(psutil.NoSuchProcess):
                used_s = sum(process.cpu_times()[:4])
                if process.name().startswith(RAY_WORKER):
                    self.ray_s[process.pid, process.create_time()] = used_s
                else:
                    others_s += used_s
        return others_s

    def below(self):
        """The processes below this one, and those that fork workers for it, with theirs."""
        found = psutil.Process().children(recursive=True)
        for pid in FORKED_SERVERS:
            with contextlib.suppress(psutil.NoSuchProcess):
                server = psutil.Process(pid)
                found += [server, *server.children(recursive=True)]
        return found
