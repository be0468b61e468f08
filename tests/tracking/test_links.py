import json

from raydistill.tracking.links import charts_url, experiment_url, view_state

DROPS = ["metrics.`delta_nll`", "metrics.`perplexity_drop_pct`", "metrics.`downstream_drop_pct`"]


def test_addresses_of_the_pages_hold_no_password():
    table = experiment_url("http://ann:pw@host:5000", "3")
    assert table.startswith("http://host:5000/#/")
    assert charts_url(table).startswith(f"{table}&")


def view(*axes, values=("1e-4",)):
    return json.loads(view_state(dict.fromkeys(axes, values)))


def test_the_table_opens_with_the_owner_the_axes_of_the_sweep_and_the_drops():
    state = view("location", "lr", "weight_decay")
    axes = [f"params.`{name}`" for name in ("location", "lr", "weight_decay")]
    assert state["selectedColumns"][:7] == ["tags.`owner`", *axes, *DROPS]
    assert state["orderByKey"] == DROPS[0]
    assert state["searchFilter"] == "tags.role != 'sweep' AND tags.role != 'base'"
    chart = state["compareRunCharts"][0]
    assert chart["selectedParams"] == ["location", "lr", "weight_decay"]


def test_axes_without_room_stand_behind_the_drops():
    names = [f"an_axis_of_a_long_name_{number}" for number in range(6)]
    columns = view(*names)["selectedColumns"]
    place = columns.index(DROPS[0])
    assert 1 < place < 7
    widths = view(*names)["columnWidths"]
    assert sum(widths[column] for column in columns[: place + 3]) < 1140 - 308
    assert [f"params.`{name}`" for name in names] == [c for c in columns if "long" in c]


def test_axes_of_one_value_now_stand_behind_the_drops_for_runs_of_another_command():
    columns = json.loads(view_state({"location": ("input",)}, ("lr", "seed")))["selectedColumns"]
    place = columns.index(DROPS[-1])
    assert columns[place + 1 : place + 3] == ["params.`lr`", "params.`seed`"]


def test_a_column_is_as_wide_as_the_values_below_it():
    widths = view("location", values=("input", "angular-distance-last"))["columnWidths"]
    assert widths["params.`location`"] == 160


def test_the_table_of_a_masked_model_opens_with_its_own_loss():
    masked = view_state({"location": ("input",)}, (), "masked-perplexity")
    assert (
        "masked_perplexity_drop_pct" in json.loads(masked)["compareRunCharts"][0]["selectedMetrics"]
    )
    columns = json.loads(masked)["selectedColumns"]
    assert "metrics.`masked_perplexity`" in columns
    assert not [name for name in columns if "`perplexity" in name]
