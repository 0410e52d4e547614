"""The HTTP service that trainer pods report to.

`POST /v1/progress` takes a ProgressReport as JSON, with a projected token of our audience. A
report is believed only about the object that the pod was made for. Whatever is wrong with a
report, the run goes on: the answer says why, and the report is dropped. An operator that stands by
answers 503 and closes the connection, so that the next report may reach the leader.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from pydantic import ValidationError

from trainyard.api.meta import LABEL_ATTEMPT, LABEL_DATASET, LABEL_PROCESS, LABEL_PROCESS_UID
from trainyard.api.report import ProgressReport
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.cache import Cache
from trainyard.cluster.errors import ApiError
from trainyard.cluster.resources import DATASET, JOB, POD, PROCESS
from trainyard.cluster.tokens import Sender, review
from trainyard.operator.keys import Key
from trainyard.operator.logs import about
from trainyard.operator.reports import ReportOutcome

log = logging.getLogger(__name__)

REVIEW_SECONDS = 60.0
"""For so long the answer of a token review is remembered."""
REMEMBERED = 4096
AT_ONCE = 128
"""Reports that are read at the same time; with their bodies at the limit they are 32 MiB."""
BODY_SECONDS = 10.0
"""A report is to come in whole within this time."""

_CLOSING = frozenset(
    {
        # Kept open, it would bring every report of the run to a standby,
        ReportOutcome.STANDBY,
        # or the rest of the body, which nobody reads.
        ReportOutcome.TOO_LARGE,
        ReportOutcome.TOO_SLOW,
        ReportOutcome.BUSY,
    }
)

Sink = Callable[[ProgressReport, Key], None]
Counted = Callable[[ReportOutcome], None]


class Refused(Exception):
    """A report that is dropped, and what its sender is told."""

    def __init__(
        self, outcome: ReportOutcome, status: int, message: str, sender: Sender | None = None
    ) -> None:
        super().__init__(message)
        self.outcome, self.status, self.sender = outcome, status, sender


@dataclass(frozen=True)
class Subject:
    """What a pod may report about."""

    key: Key
    uid: str
    attempt: int
    kind: str


class ProgressService:
    """Authenticates reports and hands them on.

    Parameters
    ----------
    accepting
        Whether this operator decides, and so has a use for reports.
    counted
        Told what became of each report.
    """

    def __init__(
        self,
        api: ApiServer,
        cache: Cache,
        sink: Sink,
        max_body_bytes: int,
        accepting: Callable[[], bool] = lambda: True,
        counted: Counted = lambda _: None,
    ) -> None:
        self._api = api
        self._cache = cache
        self._sink = sink
        self._max_body_bytes = max_body_bytes
        self._accepting = accepting
        self._counted = counted
        self._coming_in = 0
        self._reviewed: OrderedDict[str, tuple[float, Sender | None]] = OrderedDict()

    def application(self) -> web.Application:
        """The web application; bodies above the limit are refused with 413."""
        application = web.Application(client_max_size=self._max_body_bytes)
        application.router.add_post("/v1/progress", self._progress)
        return application

    async def _progress(self, request: web.Request) -> web.Response:
        try:
            await self._take(request)
        except Refused as refusal:
            self._counted(refusal.outcome)
            _say(refusal, request.remote)
            answer = web.json_response({"message": str(refusal)}, status=refusal.status)
            if refusal.outcome in _CLOSING:
                answer.force_close()
            return answer
        self._counted(ReportOutcome.ACCEPTED)
        return web.Response(status=204)

    async def _take(self, request: web.Request) -> None:
        """Hand a report on.

        Raises
        ------
        Refused
            If it is not believed.
        """
        if not self._accepting():
            raise Refused(ReportOutcome.STANDBY, 503, "this operator stands by, another one leads")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise Refused(ReportOutcome.NO_TOKEN, 401, "a bearer token is required")
        body = await self._body(request)
        try:
            sender = await self._sender(token)
        except ApiError:
            raise Refused(
                ReportOutcome.NOT_REVIEWED, 503, "the token cannot be reviewed now"
            ) from None
        if sender is None:
            raise Refused(ReportOutcome.BAD_TOKEN, 401, "the token is not valid here")
        subject = self._subject(sender)
        if subject is None:
            raise Refused(ReportOutcome.UNKNOWN_POD, 403, "the pod is not one of ours", sender)
        try:
            report = ProgressReport.model_validate_json(body)
        except ValidationError as error:
            message = f"not a report: {error.errors()[0]['msg']}"
            raise Refused(ReportOutcome.MALFORMED, 422, message, sender) from None
        if (report.kind, report.uid, report.attempt) != (
            subject.kind,
            subject.uid,
            subject.attempt,
        ):
            message = "the report is about something else than the pod"
            raise Refused(ReportOutcome.OTHER_OBJECT, 403, message, sender)
        self._sink(report, subject.key)

    async def _body(self, request: web.Request) -> bytes:
        """What was sent. Anybody who reaches the port may send: so much at a time, and not slowly.

        Raises
        ------
        Refused
            If it is too much, or takes too long.
        """
        if self._coming_in >= AT_ONCE:
            raise Refused(ReportOutcome.BUSY, 503, "too many reports are coming in at once")
        self._coming_in += 1
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise Refused(
                ReportOutcome.TOO_LARGE, 413, f"a report has at most {self._max_body_bytes} bytes"
            ) from None
        except TimeoutError:
            raise Refused(
                ReportOutcome.TOO_SLOW, 408, f"a report comes in within {BODY_SECONDS:.0f} s"
            ) from None
        finally:
            self._coming_in -= 1

    async def _sender(self, token: str) -> Sender | None:
        """Review of a token, remembered by its digest for a short while."""
        name = hashlib.sha256(token.encode()).hexdigest()
        known = self._reviewed.get(name)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        sender = await asyncio.to_thread(review, self._api, token)
        self._reviewed[name] = (time.monotonic() + REVIEW_SECONDS, sender)
        self._reviewed.move_to_end(name)
        if len(self._reviewed) > REMEMBERED:
            self._reviewed.popitem(last=False)
        return sender

    def _subject(self, sender: Sender) -> Subject | None:
        """What the pod was made for: by its UID, its labels and its Job's owner."""
        pod = self._cache.get(POD, f"{sender.namespace}/{sender.pod_name}")
        if pod is None or parse.metadata(pod).get("uid") != sender.pod_uid:
            return None
        job = next(
            (
                raw
                for raw in self._cache.all(JOB)
                if parse.metadata(raw).get("uid") == parse.owner_uid(pod)
            ),
            None,
        )
        if job is None:
            return None
        labels = parse.metadata(job).get("labels") or {}
        owner = parse.owner_uid(job)
        if LABEL_PROCESS in labels and labels.get(LABEL_PROCESS_UID) == owner:
            key = Key(PROCESS.kind, f"{sender.namespace}/{labels[LABEL_PROCESS]}")
            return Subject(key, owner, int(labels.get(LABEL_ATTEMPT, "1")), "run")
        if LABEL_DATASET in labels and owner:
            key = Key(DATASET.kind, f"{sender.namespace}/{labels[LABEL_DATASET]}")
            return Subject(key, owner, 1, "snapshot")
        return None


def _say(refusal: Refused, address: str | None) -> None:
    """Log a refusal, and who sent the report as far as that is known for sure."""
    sender = refusal.sender
    if sender is not None:
        with about(POD.kind, f"{sender.namespace}/{sender.pod_name}", uid=sender.pod_uid):
            log.info("report refused: %s", refusal)
    elif refusal.outcome is not ReportOutcome.STANDBY:
        log.info("report from %s refused: %s", address, refusal)
