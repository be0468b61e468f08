"""Delivers to MLflow in a thread: training never waits for it and never fails by it."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from raydistill.core.text.redaction import redact
from raydistill.storage.store import Store
from raydistill.tracking.records import TrackedSweep
from raydistill.tracking.sync import Delivery, sync_sweep


class Tracker:
    """A thread that brings MLflow to what `snapshot` reads from the store, again and again.

    Everything that it delivers is in the store first, so what it cannot deliver is only late.

    Attributes:
        delivery: where the sweep is in MLflow, once it has been delivered.
    """

    def __init__(
        self,
        snapshot: Callable[[], TrackedSweep],
        *,
        uri: str,
        store: Store,
        say: Callable[[str], None],
        every_s: float = 15.0,
        patience_s: float = 10.0,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            snapshot: returns the sweep as it is now; called in this thread.
            uri: where to deliver to, checked by `check_destination`.
            store: remembers where this storage has delivered.
            say: shows one line to the user.
            every_s: seconds between two deliveries.
            patience_s: seconds that a delivery under way is given when the user stops the sweep.
        """
        self.delivery: Delivery | None = None
        self._snapshot, self._uri, self._store, self._say = snapshot, uri, store, say
        self._every_s, self._patience_s = every_s, patience_s
        self._num_cells, self._trouble = 0, ""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._deliver_regularly, name="mlflow", daemon=True)

    def start(self) -> Self:
        """Open MLflow (a new database takes some seconds) and begin to deliver."""
        self._thread.start()
        return self

    def close(self) -> bool:
        """Deliver a last time; returns whether MLflow now holds everything."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        before = self._trouble
        self._deliver()
        if self._trouble:
            self._say(
                f"MLflow at {redact(self._uri)} did not take all of the {self._num_cells} cells "
                f"({self._trouble}). They are safe in {self._store.root}: the same command, "
                "when it answers, delivers them and trains nothing."
            )
        elif before:
            self._say(f"MLflow at {redact(self._uri)} answers again; everything is delivered.")
        return not self._trouble

    def abandon(self) -> None:
        """End without a last delivery: the user stopped the sweep, and its next run delivers.

        The wait is bounded. ^C may hit this process in the middle of an import, whose lock is
        never given back then, and the thread may be waiting for it.
        """
        self._ending.set()
        self._say = lambda _: None
        self._thread.join(timeout=self._patience_s)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.abandon()
        else:
            self.close()

    def _deliver_regularly(self) -> None:
        while not self._ending.is_set():
            before = self._trouble
            self._deliver()
            if self._trouble and not before:
                self._say(
                    f"warning: MLflow at {redact(self._uri)} cannot be written to "
                    f"({self._trouble}). Training goes on; results wait in {self._store.root}."
                )
            self._ending.wait(self._every_s)

    def _deliver(self) -> None:
        try:
            sweep = self._snapshot()
            self._num_cells = len(sweep.cells)
            self.delivery = sync_sweep(sweep, uri=self._uri, store=self._store)
            self._trouble = ""
        except Exception as error:  # noqa: BLE001  (whatever MLflow raises, training goes on)
            self._trouble = redact(_cause(error))


def _cause(error: BaseException) -> str:
    """The innermost error, in one line that fits a terminal."""
    while below := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = below
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
