"""Addresses of MLflow's pages, and the columns that its table opens with.

MLflow's page shows no parameter and no metric until columns are chosen. A shared view is an
experiment tag that chooses them for whoever opens the address with its name.
"""

import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

from raydistill.specs.evaluation import PERPLEXITY, metric_of

VIEW = "raydistill"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
_LOST = ("delta_nll", "perplexity_drop_pct", "downstream_drop_pct")
_MORE = (
    ("metrics", ("perplexity_drop_pct_vs_control", "downstream_drop_pct_vs_control")),
    ("metrics", ("perplexity", "downstream", "tokens_per_s")),
    ("params", ("location", "age", "count", "gap", "budget", "loss", "seed", "scale")),
    ("tags", ("layers", "role", "failure")),
)
_RUN_NAME, _CREATED = "attributes.`Run Name`", "runDateAndNestInfo"  # they cannot be hidden
_OWNER, _IN_SIGHT, _WIDEST = 90, 300, 160  # pixels; of 1,400, axes have what drops leave


def view_state(
    axes: Mapping[str, Sequence[str]], others: Sequence[str] = (), loss: str = PERPLEXITY
) -> str:
    """The shared view: cells alone, their owner, axes and what they lost, the least first.

    Axes that do not fit into the width of a laptop's screen follow behind the drops.

    Args:
        axes: with their values.
        others: behind the drops; runs of another command may differ in them.
        loss: what the held-out loss is.
    """
    widths = {n: min(max(map(_width, (n, *values))), _WIDEST) for n, values in axes.items()}
    near = list(axes)
    while sum(widths[name] for name in near) > _IN_SIGHT:
        near.pop()
    lost = [metric_of(name, loss) for name in _LOST]
    more = [(kind, [metric_of(name, loss) for name in names]) for kind, names in _MORE]
    groups: list[tuple[str, Sequence[str]]] = [
        *(("tags", ("owner",)), ("params", near), ("metrics", lost), ("params", (*axes, *others))),
        *more,
    ]
    columns = {
        f"{kind}.`{name}`": widths.get(name) or _width(name)
        for kind, names in groups
        for name in names
    }
    columns["tags.`owner`"] = _OWNER
    columns["metrics.`delta_nll`"] += 14  # a mark that the table is ordered by it
    fixed = {_RUN_NAME: 180, _CREATED: 56}  # of when it was created, the status is enough
    state = {
        "searchFilter": "tags.role != 'sweep' AND tags.role != 'base'",
        "orderByKey": "metrics.`delta_nll`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": [*fixed, *columns],
        "columnWidths": fixed | columns,
        "runsHiddenMode": "SHOW_ALL",
        **_charts(list(axes), lost),
    }
    return json.dumps(state)


def _width(text: str) -> int:
    """Pixels that a text takes in a column."""
    return max(72, 28 + 7 * len(text))


def _charts(axes: Sequence[str], lost: Sequence[str]) -> dict[str, object]:
    """The charts of the same runs: axes against drops, and below it a bar a run for each drop."""
    sections = {"raydistill-axes": (1, 320, "Axes and what was lost")}
    sections["raydistill-lost"] = (3, 360, "What each lost")
    parallel = {"selectedParams": axes, "selectedMetrics": lost, "showAllRuns": True}
    charts = [{"type": "PARALLEL", "metricSectionId": "raydistill-axes", **parallel}]
    charts += [
        {"type": "BAR", "metricSectionId": "raydistill-lost", "metricKey": name} for name in lost
    ]
    own = {"deleted": False, "isGenerated": False}
    return {
        "compareRunCharts": [
            {"uuid": f"raydistill-{number}", "runsCountToCompare": 50, **own, **chart}
            for number, chart in enumerate(charts)
        ],
        "compareRunSections": [
            {
                "uuid": uuid, "name": name, "columns": columns, "cardHeight": height,
                "display": True, "isReordered": False, **own,
            }
            for uuid, (columns, height, name) in sections.items()
        ],
    }  # fmt: skip


def experiment_url(server: str, experiment_id: str) -> str:
    """The table of a sweep with its cells as rows, in the shared view.

    >>> experiment_url("http://127.0.0.1:5000", "1")
    'http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=raydistill'
    """
    view = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{_bare(server)}/#/experiments/{experiment_id}/runs?{view}"


def charts_url(table: str) -> str:
    """The charts of the runs of a table, from its address."""
    return f"{table}&compareRunsMode=CHART"


def _bare(server: str) -> str:
    """A server's address without a password."""
    parts = urlsplit(server)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
