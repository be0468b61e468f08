"""The arms of an honest comparison, for real: every arm, and a teacher elsewhere.

On two devices: test_two_devices.py.
"""

import pytest

from support import sweeping

ARMS = (
    "base", "control", "one-shot", "teacher-free", "kd", "kd-equal-flops", "scratch",
    "scratch-with-age",
)  # fmt: skip


def by_arm(storage):
    """What the store holds of each trial, by the arm that MLflow names it after."""
    results = sweeping.results(storage)
    return {
        run.data.params["arm"]: results[run.data.tags["trial_id"]]
        for run in sweeping.runs(storage, "teacher_free_vs_kd")[1]
        if "arm" in run.data.params
    }


def weights(results):
    return {arm: trained["weights_sha256"] for arm, (trained, _) in results.items()}


@pytest.fixture(scope="module")
def whole(run_sweep, prepared, tmp_path_factory):
    """Every arm, once."""
    storage = prepared(tmp_path_factory.mktemp("storage"))
    done = run_sweep("teacher_free_vs_kd", storage, "--seed", "1")
    assert done.returncode == 0, done.stderr
    return storage, done


def test_every_arm_is_trained_and_in_the_table(whole):
    storage, done = whole
    assert set(by_arm(storage)) == set(ARMS)
    assert all(arm in done.stdout for arm in ARMS)
    table = (storage / "sweeps/teacher_free_vs_kd/smoke/table.md").read_text()
    assert "kd-equal-flops" in table


def test_what_trains_on_nothing_is_the_model_as_it_stands(whole):
    arms = by_arm(whole[0])
    assert arms["base"][0]["cost"]["tokens"] == arms["one-shot"][0]["cost"]["tokens"] == 0
    spec = arms["base"][0]["spec"]
    assert arms["base"][0]["weights_sha256"] == spec["base"]["weights_sha256"]
    assert arms["one-shot"][0]["kept"] == arms["kd"][0]["kept"] == [0, 4, 5]
    assert arms["scratch"][0]["model"]["num_layers"] == 3


def test_kd_pays_for_its_teacher_and_equal_flops_are_nearly_equal(whole):
    cost = {arm: trained["cost"]["flops_paper"] for arm, (trained, _) in by_arm(whole[0]).items()}
    assert cost["kd"] > 1.3 * cost["teacher-free"]
    assert cost["kd-equal-flops"] == pytest.approx(cost["teacher-free"], rel=0.06)  # whole steps


@pytest.mark.soak
def test_a_teacher_on_devices_of_its_own_gives_the_same_bits_though_it_is_killed(
    whole, prepared, tmp_path, ray_address
):
    """Its student waits for it: with one process that was killed there is no second try."""
    storage = prepared(tmp_path)
    flags = ("--seed", "1", "--arm", "kd", "--teacher-placement", "own-devices")
    done = sweeping.here(
        "teacher_free_vs_kd", storage, *flags, "--concurrent", "1", RAY_ADDRESS=ray_address,
        RAYDISTILL_FAULTS="kill@teacher=5; note@step=1,times=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    came = sorted(path.name for path in (storage / "faults").iterdir())
    assert came == ["kill@teacher=5,rank=0-1", "note@step=1,rank=0-1"]
    assert weights(by_arm(storage)) == {"kd": weights(by_arm(whole[0]))["kd"]}


@pytest.mark.soak
def test_killed_amid_its_arms_it_ends_as_if_nothing_had_happened(
    whole, run_sweep, prepared, tmp_path, ray_address
):
    storage = prepared(tmp_path)
    sweeping.kill_amid("teacher_free_vs_kd", storage, "--seed", "1", RAY_ADDRESS=ray_address)
    final = run_sweep("teacher_free_vs_kd", storage, "--seed", "1")
    assert final.returncode == 0, final.stderr
    assert sweeping.results(storage) == sweeping.results(whole[0])
    cells = sweeping.assert_every_step_once(storage, "teacher_free_vs_kd")
    assert sorted(run.data.params["arm"] for run in cells) == sorted(ARMS)
