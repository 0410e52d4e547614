"""Who sends a report: the pod that a projected service account token was issued to."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.meta import PROGRESS_AUDIENCE
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import TOKEN_REVIEW

_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"
_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True)
class Sender:
    """A pod, as its token names it."""

    namespace: str
    pod_name: str
    pod_uid: str


def review(api: ApiServer, token: str) -> Sender | None:
    """The pod that the token belongs to; None if it is not a valid token of our audience.

    Raises
    ------
    ApiError
        If the API server cannot say.
    """
    body = {
        "apiVersion": TOKEN_REVIEW.api_version,
        "kind": TOKEN_REVIEW.kind,
        "spec": {"token": token, "audiences": [PROGRESS_AUDIENCE]},
    }
    status = api.create(TOKEN_REVIEW, body).get("status") or {}
    if not status.get("authenticated") or PROGRESS_AUDIENCE not in (status.get("audiences") or []):
        return None
    user = status.get("user") or {}
    extra = user.get("extra") or {}
    account = str(user.get("username", ""))
    names, uids = extra.get(_POD_NAME) or [], extra.get(_POD_UID) or []
    if not account.startswith(_ACCOUNT_PREFIX) or len(names) != 1 or len(uids) != 1:
        return None
    namespace = account[len(_ACCOUNT_PREFIX) :].partition(":")[0]
    return Sender(namespace=namespace, pod_name=names[0], pod_uid=uids[0])
