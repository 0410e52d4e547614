"""What a yolo-det model.onnx finds in an image, with onnxruntime, numpy, pillow and yaml alone.

python detect.py model.onnx config.yaml image.jpg
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import yaml
from PIL import Image, ImageOps


def letterboxed(image, rule):
    """Float32 [1, 3, size, size]; pixels of it for one of the image (x y); where that begins."""
    size, sides = rule["size"], np.array(image.size)
    inner = np.maximum(np.round(sides * min(size / sides)), 1).astype(int)
    scale, start = inner / sides, np.round((size - inner) / 2 - 0.1).astype(int)
    # Each pixel from the four around its place: Image.resize would take the mean of more.
    places = (1 / scale[0], 0, 0, 0, 1 / scale[1], 0)
    bands = [
        band.convert("F").transform(tuple(inner), Image.AFFINE, places, Image.BILINEAR)
        for band in image.split()
    ]
    pixels, (left, top), (right, bottom) = np.empty((size, size, 3)), start, start + inner
    pixels[:] = rule["padValue"]
    pixels[top:bottom, left:right] = np.stack(bands, 2).round()
    pixels = (pixels / rule["divideBy"] - rule["mean"]) / rule["std"]
    return pixels.transpose(2, 0, 1)[None].astype(np.float32), scale, start


def chosen(rows, config):
    """Those rows [box, 4 + class + more] that count, the most confident first; their boxes."""
    limits, scores = config["thresholds"], rows[:, 4 : 4 + len(config["classes"])]
    best, kinds, kept = scores.max(1), scores.argmax(1), []
    lows, highs = rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2
    left = np.argsort(-best, kind="stable")
    left = left[best[left] > limits["confidence"]]
    while len(left) and len(kept) < limits["maxDetections"]:
        one, left = left[0], left[1:]
        kept.append(one)
        shared = np.minimum(highs[one], highs[left]) - np.maximum(lows[one], lows[left])
        shared = shared.clip(0).prod(1)
        overlap = shared / (rows[one, 2:4].prod() + rows[left, 2:4].prod(1) - shared)
        left = left[(overlap <= limits["iou"]) | (kinds[left] != kinds[one])]
    return rows[kept], np.stack((lows[kept], highs[kept]), 1), best[kept], kinds[kept]


def detect(model, config, image):
    """Answers, with boxes in 0..1 of the image's sides; and what more a segmenter needs."""
    config = yaml.safe_load(Path(config).read_bytes())
    image = ImageOps.exif_transpose(Image.open(image)).convert("RGB")
    images, scale, start = letterboxed(image, config["input"])
    session = onnxruntime.InferenceSession(model)
    answer, *more = session.run(None, {config["exports"]["onnx"]["input"]: images})
    rows, corners, confidences, kinds = chosen(answer[0].T, config)
    boxes = ((corners - start) / scale / image.size).clip(0, 1).reshape(-1, 4)
    answers = [
        {"class": config["classes"][kind]["value"], "confidence": float(value), "box": box.tolist()}
        for kind, value, box in zip(kinds, confidences, boxes, strict=True)
    ]
    return answers, rows[:, 4 + len(config["classes"]) :], more, image, scale, start


if __name__ == "__main__":
    for line in detect(*sys.argv[1:])[0]:
        print(json.dumps(line))
