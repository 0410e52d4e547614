"""One process as it changes: a watch that is taken up again whenever it ends or is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from trainyard.api.meta import Json
from trainyard.api.process import TrainingProcess
from trainyard.cli.errors import CommandError
from trainyard.cli.process_reading import missing, typed
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer, Listing
from trainyard.cluster.errors import Unavailable
from trainyard.cluster.resources import PROCESS

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
GONE = 4
"""Exit code of a watch whose process was deleted."""


class ProcessGone(CommandError):
    """The process was deleted while it was watched."""

    exit_code = GONE


class Following:
    """A process that is followed.

    Parameters
    ----------
    say
        Is told when the API server does not answer any more, and when it does again.
    """

    def __init__(
        self, api: ApiServer, namespace: str, name: str, say: Callable[[str], None]
    ) -> None:
        self._api, self._namespace, self._name, self._say = api, namespace, name, say
        self._uid: str | None = None

    def __iter__(self) -> Iterator[TrainingProcess]:
        """The process as it is, and again whenever it has changed or was read again.

        Nothing is polled: a watch tells what changes. When the API server ends it or it is lost,
        the process is read again, as soon as the API server answers.

        Raises
        ------
        CommandError
            If there is no such process at first; `ProcessGone` if it is deleted later.
        ApiError
            If the API server does not answer at first, or refuses.
        """
        listing = self._list()
        if not listing.items:
            raise missing(self._namespace, self._name)
        while True:
            yield from self._changes(listing)
            # A server that ends every watch at once is not to be asked in a hurry.
            time.sleep(FIRST_PAUSE_SECONDS)
            listing = self._list_when_it_answers()
            if not listing.items:
                raise self._gone("deleted")

    def _changes(self, listing: Listing) -> Iterator[TrainingProcess]:
        """The process of a LIST, and what a watch tells from then on."""
        yield self._taken(listing.items[0])
        try:
            for change in self._api.watch(PROCESS, self._name, self._namespace, listing.version):
                if change.kind == "DELETED":
                    raise self._gone("deleted")
                yield self._taken(change.object)
        except Unavailable:
            # Lost, or what happened since is forgotten: whether anybody answers is seen next.
            return

    def _taken(self, raw: Json) -> TrainingProcess:
        meta = parse.metadata(raw)
        if self._uid not in (None, meta["uid"]):
            raise self._gone("deleted and made anew")
        self._uid = meta["uid"]
        return typed(raw)

    def _list(self) -> Listing:
        return self._api.list(
            PROCESS, self._namespace, field_selector=f"metadata.name={self._name}"
        )

    def _list_when_it_answers(self) -> Listing:
        pause, lost = FIRST_PAUSE_SECONDS, False
        while True:
            try:
                listing = self._list()
            except Unavailable as error:
                if not lost:
                    self._say(f"the API server does not answer, and is asked again ({error})")
                lost = True
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                if lost:
                    self._say("the API server answers again")
                return listing

    def _gone(self, how: str) -> ProcessGone:
        return ProcessGone(f"TrainingProcess {self._namespace}/{self._name} was {how} meanwhile")
