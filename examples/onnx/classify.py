"""What a yolo-cls model.onnx says of an image, or of boxes in it: onnxruntime, numpy, pillow, yaml.

python classify.py model.onnx config.yaml image.jpg [x_min,y_min,x_max,y_max ...]

Boxes, in 0..1 of the image's sides, are for a model of the type BoxClassifierElement.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import yaml
from PIL import Image, ImageOps


def cut(image, box, rule):
    """The square around a box: its longer side and some context; grey outside of the image."""
    left, top, right, bottom = np.array(box) * np.tile(image.size, 2)
    side = max(1, round(max(right - left, bottom - top) * (1 + 2 * rule["context"])))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    inside = (max(0, x), max(0, y), min(image.width, x + side), min(image.height, y + side))
    square = Image.new("RGB", (side, side), (rule["padValue"],) * 3)
    square.paste(image.crop(inside), (inside[0] - x, inside[1] - y))
    return square


def pixels(image, rule):
    """Float32 [3, size, size]: the shortest side becomes `size`, and the centre is cut out."""
    size, shortest = rule["size"], min(image.size)
    small = image.resize([int(size * side / shortest) for side in image.size], Image.BILINEAR)
    left, top = (round((side - size) / 2) for side in small.size)
    part = np.asarray(small.crop((left, top, left + size, top + size))) / rule["divideBy"]
    return ((part - rule["mean"]) / rule["std"]).transpose(2, 0, 1).astype(np.float32)


def asked(model, config, image, *boxes):
    """What model.onnx gives for an image, or for boxes in it; and config.yaml."""
    config = yaml.safe_load(Path(config).read_bytes())
    image = ImageOps.exif_transpose(Image.open(image)).convert("RGB")
    boxes = [[float(number) for number in box.split(",")] for box in boxes]
    seen = [cut(image, box, config["input"]["crop"]) for box in boxes] or [image]
    images = np.stack([pixels(one, config["input"]) for one in seen])
    session = onnxruntime.InferenceSession(model)
    return session.run(None, {config["exports"]["onnx"]["input"]: images}), config


if __name__ == "__main__":
    (probabilities,), config = asked(*sys.argv[1:])
    for row in probabilities:
        best = config["classes"][row.argmax()]
        print(json.dumps({"class": best["value"], "confidence": float(row.max())}))
