"""The setting `onBusyNode: Reject`: a machine has one unfinished process, later ones are refused.

By default they stand in the queue of the node.
"""

from __future__ import annotations

from trainyard.api.process import OnExistingRun
from trainyard.api.process_status import ProcessPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.conditions import is_true
from trainyard.decide.draft import StatusDraft
from trainyard.decide.facts import OnBusyNode, ProcessFacts, Rival
from trainyard.decide.naming import named
from trainyard.decide.queue import as_rival


def is_refused(facts: ProcessFacts, draft: StatusDraft) -> bool:
    """Whether the process has failed because an older one of its node is not finished.

    Whatever keeps that one from its end: it may run, wait, be stopped or be a draft. Who was there
    when the setting was another stays.
    """
    if facts.settings.on_busy_node is not OnBusyNode.REJECT or _was_there(facts, draft):
        return False
    me = as_rival(facts.process)
    older = [rival for rival in facts.rivals if _came_before(rival, me)]
    if not older:
        return False
    first = min(older, key=lambda rival: (rival.created, rival.key))
    shown = named(
        first.key, facts.process.metadata.namespace, hide=facts.settings.hides_other_namespaces
    )
    message = (
        f"node {facts.process.spec.target_node} has an unfinished TrainingProcess, {shown} "
        f"({first.phase or ProcessPhase.CREATED}), and the operator's setting onBusyNode is "
        "Reject: wait for its end or delete it, then create a new process, or use another node"
    )
    draft.condition(ConditionType.NODE_RESERVED, False, Reason.NODE_BUSY, message)
    draft.fail(Reason.NODE_BUSY, message)
    return True


def _came_before(rival: Rival, me: Rival) -> bool:
    """Whether the rival is the older.

    Of two made in the same second, which is all that their times tell: who was let in already,
    else the first by name.
    """
    if rival.created != me.created:
        return rival.created < me.created
    return rival.phase is not None or rival.key < me.key


def _was_there(facts: ProcessFacts, draft: StatusDraft) -> bool:
    """Whether a pass before this one let it stay."""
    if facts.process.spec.on_existing_run is OnExistingRun.REUSE:
        # That could not be told before its inputs were known.
        return is_true(draft.old.conditions, ConditionType.VALIDATED)
    return draft.old.phase is not None
