"""Ports of a Ray head on a machine that several people share."""

import os
import socket

import pytest

from raydistill.runners.diagnostics.finding import Level
from raydistill.runners.diagnostics.ports import (
    HEAD_PORTS,
    diagnose_ports,
    listeners_by_port,
)


@pytest.fixture
def ports():
    """Ports that this process listens on, in place of those that a head takes."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in HEAD_PORTS]
    yield dict(zip(HEAD_PORTS, (server.getsockname()[1] for server in servers), strict=True))
    for server in servers:
        server.close()


def test_who_listens_is_read_from_the_system(ports):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        listeners = listeners_by_port()
        assert {listeners[port] for port in ports.values()} == {os.getuid()}
        assert listeners[server.getsockname()[1]] == os.getuid()


def test_ones_own_ray_is_no_finding(ports):
    [finding] = diagnose_ports(ports)
    assert finding.level is Level.OK


def test_somebody_elses_is_named_with_free_ports_in_their_place(ports):
    from ray.scripts.scripts import start as start_command  # imports ray.serve

    [finding] = diagnose_ports(ports, uid=os.getuid() + 1)
    assert finding.level is Level.NOTE
    for port in ports.values():
        assert f"{port} (" in finding.what
    assert "or `ray job submit` reaches their Ray" in finding.what
    export, start = finding.remedy.split("; ")
    words = start.split()
    chosen = dict(zip(words[3::2], map(int, words[4::2]), strict=True))
    assert words[:3] == ["ray", "start", "--head"]
    assert chosen.keys() == ports.keys()
    assert start_command.make_context("start", words[2:]).params["head"]  # a head would stay
    assert not set(chosen.values()) & listeners_by_port().keys()
    assert export == f"export RAY_API_SERVER_ADDRESS=http://127.0.0.1:{chosen['--dashboard-port']}"


def test_where_nothing_can_be_told_nothing_is_said(tmp_path):
    assert listeners_by_port(tmp_path) == {}


@pytest.mark.skipif(not listeners_by_port(), reason="no /proc/net/tcp")
def test_no_server_is_sent_to_a_port_of_rays_workers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = {"--dashboard-port": server.getsockname()[1], "--ray-client-server-port": 10_001}
        [finding] = diagnose_ports(taken, uid=os.getuid() + 1)
    assert int(finding.remedy.split()[-1]) >= 20_000
