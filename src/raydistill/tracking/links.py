"""Addresses of MLflow's pages, and the columns that its table opens with.

MLflow's page shows no parameter and no metric until columns are chosen. A shared view is an
experiment tag that chooses them for whoever opens the address with its name.
"""

import json
from urllib.parse import urlsplit, urlunsplit

VIEW = "raydistill"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
_COLUMNS = (
    ("params", ("location", "age", "layers", "budget", "seed")),
    ("metrics", ("delta_nll", "perplexity_drop_pct", "downstream_drop_pct")),
    ("metrics", ("perplexity_drop_pct_vs_control", "downstream_drop_pct_vs_control")),
    ("metrics", ("perplexity", "downstream", "tokens_per_s")),
    ("params", ("count", "gap", "loss", "scale")),
    ("tags", ("role", "failure")),
)


def view_state() -> str:
    """The shared view: what was requested and what was lost, the smallest loss first."""
    columns = {f"{kind}.`{name}`": name for kind, names in _COLUMNS for name in names}
    state = {
        "searchFilter": "",
        "orderByKey": "metrics.`delta_nll`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": ["attributes.`Created`", *columns],
        "columnOrder": list(columns),
        "columnWidths": {column: 40 + 7 * len(name) for column, name in columns.items()},
        "runsHiddenMode": "SHOW_ALL",
    }
    return json.dumps(state)


def experiment_url(server: str, experiment_id: str) -> str:
    """The table of a sweep with its cells as rows, in the shared view.

    >>> experiment_url("http://127.0.0.1:5000", "1")
    'http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=raydistill'
    """
    view = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{_bare(server)}/#/experiments/{experiment_id}/runs?{view}"


def _bare(server: str) -> str:
    """A server's address without a password."""
    parts = urlsplit(server)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
