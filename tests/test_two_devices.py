"""One trial on two devices, through Ray Train inside Tune, in a real sweep."""

import sweeping


def test_two_devices_train_to_the_bits_of_one(tmp_path_factory):
    """Two gloo ranks inside Tune, a removal in between; one process with two micro-batches."""
    weights = []
    storages = [tmp_path_factory.mktemp(f"devices{n}") for n in (1, 2)]
    for devices, storage in zip(("1", "2"), storages, strict=True):
        if devices == "2":
            sweeping.prepared(storage, storages[0])
        done = sweeping.run(
            storage, "--age", "320B", "--location", "input", "--set", "micro_batches=2",
            "--devices-per-trial", devices,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (trained, _scores), *rest = sweeping.results(storage).values()
        assert rest == []
        assert trained.pop("made_by")["world_size"] == int(devices)
        weights.append(trained)
    assert weights[0] == weights[1]
