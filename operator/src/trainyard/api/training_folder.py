"""What lies where in the folder of a training on a laptop.

The command line makes it, the trainer works in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainyard.api.run import RUN_FILE
from trainyard.api.template import Engine

TRAIN_SCRIPT = "train.py"
STATE = ".trainyard"
WEIGHTS = "train/weights"
"""Where an engine leaves its checkpoints, below its own folder."""
BEST = f"{WEIGHTS}/best.pt"
ARGUMENTS = "train/args.yaml"
TASKS = {
    Engine.YOLO_DET: "detect",
    Engine.YOLO_SEG: "segment",
    Engine.YOLO_CLS: "classify",
    Engine.EMBEDDER: "embed",
}
"""What each engine does, as its library names it."""


@dataclass(frozen=True)
class TrainingFolder:
    """Paths of a folder.

    Attributes
    ----------
    root
        Holds run.yaml, train.py, and the data in train, dev and test.
    """

    root: Path

    @property
    def run(self) -> Path:
        """What is to be trained."""
        return self.root / RUN_FILE

    @property
    def script(self) -> Path:
        """What a person edits."""
        return self.root / TRAIN_SCRIPT

    @property
    def state(self) -> Path:
        """What only programs read."""
        return self.root / STATE

    @property
    def work(self) -> Path:
        """Emptied by each command."""
        return self.state / "work"

    @property
    def laid_out(self) -> Path:
        """See `LaidOut`."""
        return self.state / "data.json"

    @property
    def record(self) -> Path:
        """See `Record`."""
        return self.state / "checkpoints.json"

    @property
    def base(self) -> Path:
        """The weights that the run goes on from, once they were fetched."""
        return self.state / "base.pth"

    @property
    def generated(self) -> Path:
        """The train.py that was generated, to see whether it was edited."""
        return self.state / TRAIN_SCRIPT

    @property
    def results(self) -> Path:
        """The model, its metrics and its pictures."""
        return self.root / "results"

    @property
    def exported(self) -> Path:
        """What `train export` made."""
        return self.root / "exported"

    @property
    def evaluations(self) -> Path:
        """What `train evaluate` measured."""
        return self.root / "evaluations"

    @property
    def store(self) -> Path:
        """Snapshots, from which the data is laid out."""
        return self.state / "store"

    def engine(self, engine: Engine) -> Path:
        """Where an engine writes."""
        return self.root / "runs" / TASKS[engine]

    def uri(self, path: Path) -> str:
        """A place as a store names it."""
        return f"file://{path}"
