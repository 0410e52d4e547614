"""Groups: what belongs together and must never be spread over splits."""

from __future__ import annotations

from trainyard.api.dataset import Selection
from trainyard.api.grouping import GroupColumn, GroupPattern, InvalidGroupBy, parse_group_by
from trainyard.datasets.errors import BadData
from trainyard.datasets.formats import Annotations


class Grouping:
    """`DatasetSpec.group_by`, for one selection.

    Attributes
    ----------
    column
        The column of records that names the group, if it is one.

    Raises
    ------
    BadData
        If it cannot be used for the selection's format.
    """

    def __init__(self, selection: Selection, group_by: str | None) -> None:
        self._rule: GroupColumn | GroupPattern | None = None
        if group_by is not None:
            try:
                self._rule = parse_group_by(group_by, [selection.format])
            except InvalidGroupBy as error:
                raise BadData(str(error)) from None

    @property
    def asked_for(self) -> bool:
        """Whether every image must belong to a group."""
        return self._rule is not None

    @property
    def column(self) -> str | None:
        """See the class."""
        return self._rule.name if isinstance(self._rule, GroupColumn) else None

    def of(self, name: str, annotations: Annotations) -> str | None:
        """The group of an image; None if it has none."""
        match self._rule:
            case GroupPattern():
                return self._rule.group_of(name)
            case GroupColumn():
                return annotations.group or None
            case None:
                return None
