"""What a yolo-seg model.onnx finds in an image, and where: as detect.py, and masks as a PNG.

python segment.py model.onnx config.yaml image.jpg masks.png
"""

import json
import sys

import numpy as np
from detect import detect
from PIL import Image


def mask_of(logits, box, image, size, scale, start):
    """Bool [height, width]: the pixels of the image, within a box, in which the logits are > 0."""
    fine = logits.shape[0] / size
    places = np.array([(scale[0], 0, start[0]), (0, scale[1], start[1])]) * fine
    large = Image.fromarray(logits).transform(
        image.size, Image.AFFINE, tuple(places.ravel()), Image.BILINEAR
    )
    x = (np.arange(image.width) + 0.5) / image.width
    y = (np.arange(image.height)[:, None] + 0.5) / image.height
    inside = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    return inside & (np.asarray(large) > 0)


if __name__ == "__main__":
    answers, weights, (prototypes,), image, scale, start = detect(*sys.argv[1:4])
    # Each pixel has the number of the printed line, from 1; where masks overlap, the first one's.
    numbers = np.zeros(image.size[::-1], np.uint16)
    size = prototypes.shape[-1] * 4
    for number, (answer, mixture) in enumerate(zip(answers, weights, strict=True), 1):
        logits = np.tensordot(mixture, prototypes[0], 1)
        mask = mask_of(logits, answer["box"], image, size, scale, start)
        numbers[mask & (numbers == 0)] = number
        print(json.dumps(answer))
    Image.fromarray(numbers).save(sys.argv[4])
