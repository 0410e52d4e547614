"""What a generated folder holds for people: train.py and README.md."""

from __future__ import annotations

from string import Template

from trainyard.api.capability import Output
from trainyard.api.run import RunFile
from trainyard.api.template import Engine
from trainyard.api.training_folder import TASKS

_SCRIPT = Template('''\
"""Trains $name ($engine). Run it, or `trainyard train start`; edit it as you like.

What is trained stands in run.yaml, the data lies in train/, dev/ and test/. Hyperparameters of
your own are arguments of `opened`, for example `opened(HERE, epochs=50, learning_rate=0.005)`.
"""

from pathlib import Path

from trainyard_trainer.folder import opened

HERE = Path(__file__).resolve().parent

with opened(HERE) as work:
    # The images of train/, dev/ and test/, as they lie there.
    data = work.prepare()
    # Leaves runs/$task/train/weights/best.pt and args.yaml. Ctrl-C keeps a checkpoint.
    trained = work.train(data)
    # How good the best epoch is: on dev, by which it was chosen, and once on test.
    results = work.evaluate(data, trained)
    # model.pth, config.yaml, metrics.json and pictures.
    files = work.export(data, trained, results)
    # Puts them into results/.
    work.publish(files, trained, results)
''')

_README = Template("""\
# $name

A training of $engine, made by `trainyard generate training-run`.

```console
$$ trainyard train start $folder
```

trains, and prints the next command. Ctrl-C stops it with a checkpoint; the same command goes on.

| | |
|---|---|
| `run.yaml` | what is trained: `$capability` by `$template`; it is sealed, change `train.py` |
| `train.py` | the steps, to be read, edited and run |
| `train/`, `dev/`, `test/` | the data: $layout |
| `runs/$task/train/` | `weights/best.pt` and `args.yaml`, once it is trained |
| `results/` | `model.pth`, `config.yaml`, `metrics.json`, pictures, log |
| `evaluations/`, `exported/` | what `trainyard train evaluate` and `trainyard train export` leave |

`best.pt` is a pickle: opening one runs the code in it. Those that were trained here are known by
their SHA-256 (`.trainyard/checkpoints.json`); others are opened with `--trust` only. `model.pth`
holds nothing but tensors and plain values.

## Classes

| number | class |
|---|---|
$classes
""")

_FOLDERS = "a folder a class, named by its number (five digits)"
_LABELS = (
    "images, and a text file of labels for each: number of the class, then {what}, as fractions "
    "of width and height"
)
_LAYOUTS = {
    Engine.YOLO_DET: _LABELS.format(what="centre, width and height of the box"),
    Engine.YOLO_SEG: _LABELS.format(what="the points of the outline"),
    Engine.YOLO_CLS: _FOLDERS,
    Engine.EMBEDDER: _FOLDERS,
}


def script_of(run: RunFile) -> str:
    """The train.py of a run."""
    engine = run.template.engine
    return _SCRIPT.substitute(name=run.name, engine=engine, task=TASKS[engine])


def readme_of(run: RunFile, folder: str) -> str:
    """The README.md of a run, in a folder as it can be typed."""
    engine = run.template.engine
    return _README.substitute(
        name=run.name,
        engine=engine,
        task=TASKS[engine],
        folder=folder,
        capability=run.capability_name,
        template=run.template_name,
        layout=_LAYOUTS[engine],
        classes="\n".join(map(_class_row, run.capability.outputs)),
    )


def _class_row(output: Output) -> str:
    text = f"{output.attribute}={output.value}".replace("|", "\\|")
    return f"| {output.position} | {text} |"
