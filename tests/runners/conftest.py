import pytest

from raydistill.runners.cluster.connection import connected


@pytest.fixture(scope="module")
def joined_cluster(ray_cluster, tmp_path_factory):
    """One node with two CPUs, joined by RAY_ADDRESS; its workers find what lies here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", ray_cluster.address)
        with connected(tmp_path_factory.mktemp("log") / "ray.log"):
            yield ray_cluster
