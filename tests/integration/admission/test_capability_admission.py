"""Which Capabilities the API server takes, and what it says of the others."""

from __future__ import annotations

import pytest
from admission_server import (
    BOX_CLASSIFIER,
    CLASSIFIER,
    DETECTOR,
    EMBEDDER,
    REMOVE,
    Refused,
    Server,
    changed,
    fresh,
    named,
    outputs,
)
from cases import (
    Accepted,
    Edit,
    Refusal,
    check_accepted,
    check_edit,
    check_refused,
    table,
)

from trainyard.api.capability import Capability

IMMUTABLE = "a Capability is immutable: create a new one instead"
POSITIONS = "positions must be 0..n-1 in the order of the list, without a gap or a repeat"
CONTRADICTION = "interface.inputs contradicts the type"
CONTROLS = "control characters and characters that reorder text are not allowed"
FULL = changed(
    DETECTOR,
    displayName="Beetle",
    description="Finds beetles.",
    geometry="box",
    interface={"inputs": ["image"], "outputs": ["entities"]},
    parameters={"confidence": 0.5, "iou": 0.7},
)


def moved(*positions: int) -> list[dict[str, object]]:
    """Outputs at the positions given."""
    return [
        output | {"position": position}
        for output, position in zip(outputs(len(positions)), positions, strict=True)
    ]


@table(
    [
        Accepted("an image classifier with two classes", CLASSIFIER),
        Accepted("a detector with everything said", FULL),
        Accepted("polygons of a detector", changed(DETECTOR, geometry="polygon")),
        Accepted(
            "the interface of an image classifier",
            changed(CLASSIFIER, interface={"inputs": ["image"], "outputs": ["entities"]}),
        ),
        Accepted(
            "the interface of a box classifier",
            changed(
                BOX_CLASSIFIER,
                interface={"inputs": ["image", "entities"], "outputs": ["entities"]},
            ),
        ),
        Accepted("the size of an embedding", changed(EMBEDDER, embedding={"dimensions": 64})),
        Accepted("a name in any script", changed(CLASSIFIER, displayName="Käfer, 甲虫, خنفساء")),
        Accepted("HTML, which stays text", changed(CLASSIFIER, displayName="<b>Käfer</b>")),
        Accepted("a description of two lines", changed(CLASSIFIER, description="One.\n\tTwo.")),
        Accepted("one value under two attributes", changed(CLASSIFIER, outputs=[
            {"attribute": "species", "value": "rose", "position": 0},
            {"attribute": "colour", "value": "rose", "position": 1},
        ])),
        Accepted("a name of 63 characters", named(CLASSIFIER, "c" * 63)),
    ]
)  # fmt: skip
def test_capability_is_accepted(server: Server, row: Accepted) -> None:
    stored = check_accepted(server, row)
    # The operator reads what the server stored as what the author meant.
    assert Capability.model_validate(stored).spec == Capability.model_validate(row.manifest).spec


@table(
    [
        Refusal(
            "no outputs at all",
            changed(CLASSIFIER, outputs=REMOVE),
            "spec.outputs: Required value",
        ),
        Refusal(
            "an empty list of outputs",
            changed(CLASSIFIER, outputs=[]),
            "spec.outputs in body should have at least 1 items",
        ),
        Refusal(
            "more than 5,000 outputs",
            changed(CLASSIFIER, outputs=outputs(5001)),
            "spec.outputs: Too many: 5001: must have at most 5000 items",
        ),
        Refusal(
            "an attribute and value given twice",
            changed(CLASSIFIER, outputs=[outputs(1)[0], outputs(1)[0] | {"position": 1}]),
            'spec.outputs[1]: Duplicate value: {"attribute":"class","value":"value-0"}',
        ),
        Refusal("a gap in the positions", changed(CLASSIFIER, outputs=moved(0, 2)), POSITIONS),
        Refusal("a position given twice", changed(CLASSIFIER, outputs=moved(0, 0)), POSITIONS),
        Refusal("positions out of order", changed(CLASSIFIER, outputs=moved(1, 0)), POSITIONS),
        Refusal(
            "a second head",
            changed(CLASSIFIER, outputs=[outputs(1)[0] | {"head": 1}]),
            "head must be 0: models with several heads are not supported yet",
        ),
        Refusal(
            "polygons of a classifier",
            changed(CLASSIFIER, geometry="polygon"),
            "geometry is for a DetectorElement only: remove it",
        ),
        Refusal(
            "a classifier that is given entities",
            changed(
                CLASSIFIER, interface={"inputs": ["image", "entities"], "outputs": ["entities"]}
            ),
            CONTRADICTION,
        ),
        Refusal(
            "a box classifier that is given no entities",
            changed(BOX_CLASSIFIER, interface={"inputs": ["image"], "outputs": ["entities"]}),
            CONTRADICTION,
        ),
        Refusal(
            "an embedding of a detector",
            changed(DETECTOR, embedding={"dimensions": 64}),
            "embedding is for a BoxEmbedderElement only: remove it",
        ),
        Refusal(
            "an unknown type",
            changed(CLASSIFIER, type="SoundElement"),
            'spec.type: Unsupported value: "SoundElement": supported values: "DetectorElement"',
        ),
        Refusal("no type", changed(CLASSIFIER, type=REMOVE), "spec.type: Required value"),
        Refusal(
            "a type that is a number",
            changed(CLASSIFIER, type=7),
            'spec.type in body must be of type string: "integer"',
        ),
        Refusal(
            "a confidence above one",
            changed(CLASSIFIER, parameters={"confidence": 1.5}),
            "spec.parameters.confidence in body should be less than or equal to 1",
        ),
        Refusal(
            "an unknown field",
            changed(CLASSIFIER, colour="red"),
            'unknown field "spec.colour"',
        ),
        Refusal(
            "an unknown field of an output",
            changed(CLASSIFIER, outputs=[outputs(1)[0] | {"weight": 2}]),
            'unknown field "spec.outputs[0].weight"',
        ),
        Refusal("a NUL in a name", changed(CLASSIFIER, displayName="a\x00b"), CONTROLS),
        Refusal("an escape sequence", changed(CLASSIFIER, description="\x1b[2J"), CONTROLS),
        Refusal("a C1 control character", changed(CLASSIFIER, displayName="a\x9bb"), CONTROLS),
        Refusal("text order turned round", changed(CLASSIFIER, displayName="a\u202eb"), CONTROLS),
        Refusal("an isolate", changed(CLASSIFIER, displayName="a\u2066b"), CONTROLS),
        Refusal(
            "a line break in a value",
            changed(CLASSIFIER, outputs=[outputs(1)[0] | {"value": "a\nb"}]),
            CONTROLS,
        ),
        Refusal(
            "an empty value",
            changed(CLASSIFIER, outputs=[outputs(1)[0] | {"value": ""}]),
            "spec.outputs[0].value in body should be at least 1 chars long",
        ),
        Refusal(
            "a name of 64 characters",
            named(CLASSIFIER, "c" * 64),
            "metadata.name has more than 63 characters: names become labels, choose a shorter one",
        ),
        Refusal(
            "a name with a dot",
            named(CLASSIFIER, "digit.v2"),
            "metadata.name contains a dot: use lower-case letters, digits and '-' only",
        ),
        Refusal(
            "a megabyte of class names",
            changed(CLASSIFIER, outputs=outputs(5000, "v" * 100)),
            "all attributes and values together have more than 200000 characters: shorten them",
        ),
        Refusal(
            "no spec",
            {key: value for key, value in CLASSIFIER.items() if key != "spec"},
            "spec: Required value",
        ),
    ]
)
def test_capability_is_refused(server: Server, row: Refusal) -> None:
    check_refused(server, row)


@table(
    [
        Edit("another display name", FULL, {"displayName": "Bug"}, IMMUTABLE),
        Edit("no display name any more", FULL, {"displayName": None}, IMMUTABLE),
        Edit("a display name where there was none", CLASSIFIER, {"displayName": "x"}, IMMUTABLE),
        Edit("another description", FULL, {"description": "Other."}, IMMUTABLE),
        Edit("another type", CLASSIFIER, {"type": "DetectorElement"}, IMMUTABLE),
        Edit("another geometry", FULL, {"geometry": "polygon"}, IMMUTABLE),
        Edit("no interface any more", FULL, {"interface": None}, IMMUTABLE),
        Edit("one more class", CLASSIFIER, {"outputs": outputs(3)}, IMMUTABLE),
        Edit("a renamed class", CLASSIFIER, {"outputs": outputs(2, "x")}, IMMUTABLE),
        Edit("another default", FULL, {"parameters": {"iou": 0.6}}, IMMUTABLE),
    ]
)
def test_capability_never_changes(server: Server, row: Edit) -> None:
    check_edit(server, row)


def test_spec_of_a_capability_cannot_be_dropped(server: Server) -> None:
    manifest = fresh(CLASSIFIER)
    stored = server.create(manifest)
    del stored["spec"]
    with pytest.raises(Refused, match="spec: Required value"):
        server.replace(stored)


def test_capability_of_5000_classes_and_200000_characters_stays_within_the_rule_budget(
    server: Server,
) -> None:
    # "class" and 35 characters make 40 characters a class.
    names = [f"{position:0>35}" for position in range(5000)]
    largest = fresh(
        changed(
            CLASSIFIER,
            outputs=[
                {"attribute": "class", "value": name, "position": position}
                for position, name in enumerate(names)
            ],
        )
    )
    stored = server.create(largest)
    assert len(stored["spec"]["outputs"]) == 5000
    # The transition rule compares all of it, too.
    with pytest.raises(Refused, match=IMMUTABLE):
        server.patch(largest, {"spec": {"description": "More."}})
    server.delete(largest)
