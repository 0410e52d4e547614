"""XML as data: elements with their lines, and nothing that a parser would fetch or expand."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml import DTDForbidden, EntitiesForbidden, ExternalReferenceForbidden

from trainyard.datasets.errors import BadData

_DEEPEST = 32


@dataclass
class Element:
    """An element of a document. `text` is what stands in it directly, without outer spaces."""

    tag: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)


class _Builder(ContentHandler):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._open: list[tuple[Element, list[str]]] = []
        self.root: Element | None = None
        self._locator: Locator

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802 -- as SAX calls it
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802, ARG002
        line = self._locator.getLineNumber() or 0
        element = Element(name, line)
        if len(self._open) >= _DEEPEST:
            raise BadData(f"{self._name}:{line}: nested more than {_DEEPEST} deep")
        if self._open:
            self._open[-1][0].children.append(element)
        else:
            self.root = element
        self._open.append((element, []))

    def endElement(self, name: str) -> None:  # noqa: N802, ARG002
        element, texts = self._open.pop()
        element.text = "".join(texts).strip()

    def characters(self, content: str) -> None:
        self._open[-1][1].append(content)


def parse_xml(data: bytes, name: str) -> Element:
    """The root of a document.

    Parameters
    ----------
    data
        The file's bytes.
    name
        Its name, for errors.

    Raises
    ------
    BadData
        If it is not XML, declares a document type or entities, or is nested too deep.
    """
    builder = _Builder(name)
    try:
        defusedxml.sax.parseString(data, builder, forbid_dtd=True)
    except (DTDForbidden, EntitiesForbidden, ExternalReferenceForbidden):
        raise BadData(
            f"{name}: it declares a document type or entities, which can read files of this "
            "machine and fill its memory: remove <!DOCTYPE ...>"
        ) from None
    except SAXParseException as error:
        raise BadData(f"{name}:{error.getLineNumber()}: not XML: {error.getMessage()}") from None
    except (ValueError, LookupError) as error:
        # An encoding that Python does not have, or that the bytes are not in.
        raise BadData(f"{name}: not XML: {' '.join(str(error).split())[:200]}") from None
    if builder.root is None:
        raise BadData(f"{name}: not XML: there is no element")
    return builder.root
