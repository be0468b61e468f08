"""MLflow's own pages on a database, served by this process, without its assistant.

`mlflow server` starts four processes, shows every request, opens on a welcome page, and beside
it a chat with a language model: MLflow 3.17 has no switch for that, so the page that everything
starts from hides it.
"""

import json
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.requests import Request
    from starlette.responses import Response

_HEAD = """<style>
/* the assistant, and a bar about shared views */
[data-assistant-ui],
html body div[role="alert"][data-component-id="mlflow.experiment_page.shared_view.banner"][class],
div:has(> [role="button"][aria-pressed][tabindex]) { display: none !important }
</style>
<script>
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
if (location.hash.length < 3) location.hash = LANDING;
</script>
"""


def serve_pages(uri: str, *, port: int, landing: str, ready: Callable[[], None]) -> None:
    """Serve the pages on 127.0.0.1 until ^C or SIGTERM, which raise as they do elsewhere.

    Args:
        uri: of a database.
        port: a free one.
        landing: the fragment, `#/...`, of the page that the bare address opens.
        ready: called once requests are answered.
    """
    # Read when MLflow's server is imported; `mlflow server` sets the first one in the same way.
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = uri
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    import uvicorn  # noqa: PLC0415  (comes with mlflow, which is slow to import)
    from starlette.middleware.base import BaseHTTPMiddleware  # noqa: PLC0415  (as above)
    from starlette.responses import HTMLResponse  # noqa: PLC0415  (as above)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is deprecated concerns MLflow's authors
        from mlflow.server.fastapi_app import app  # noqa: PLC0415  (as above)

    head = _HEAD.replace("LANDING", json.dumps(landing))

    async def with_head(request: "Request", call_next: "RequestResponseEndpoint") -> "Response":
        if request.url.path != "/":
            return await call_next(request)
        cached = (b"if-none-match", b"if-modified-since")
        request.scope["headers"] = [h for h in request.scope["headers"] if h[0] not in cached]
        response = await call_next(request)
        if response.status_code != 200:
            return response
        page = b"".join([part async for part in response.body_iterator])  # type: ignore[attr-defined]
        html = page.decode().replace("<head>", f"<head>{head}", 1)
        return HTMLResponse(html, headers={"cache-control": "no-store"})

    class Server(uvicorn.Server):
        async def startup(self, sockets: "list[socket.socket] | None" = None) -> None:
            await super().startup(sockets)
            ready()

    app.add_middleware(BaseHTTPMiddleware, dispatch=with_head)
    Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")).run()
