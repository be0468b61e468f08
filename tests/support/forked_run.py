"""The processes of a run of tests, forked from one that imports once what all of them do."""

import contextlib

import psutil
import pytest

from support.forked_workers import OF_TESTS, RUN_VARIABLE, entry_of_tests, listening, started_server


class ForkedRun:
    """Where xdist starts processes; its own CPU seconds are in the list of `CpuTime`."""

    def __init__(self, config, cpu_time):
        self.config, self.cpu_time = config, cpu_time
        self.importing = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs):
        stack = contextlib.ExitStack()
        self.config.add_cleanup(stack.close)
        server = stack.enter_context(listening(RUN_VARIABLE))
        self.importing = stack.enter_context(started_server(server, *OF_TESTS))
        for spec in specs:
            spec.python = entry_of_tests()

    def pytest_terminal_summary(self):
        if self.importing:
            used = psutil.Process(self.importing.pid).cpu_times()
            self.cpu_time.sums["importing once for all"] = used.user + used.system
