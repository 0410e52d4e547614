"""Vectors of boxes in an image, by the model.onnx of an embedder: of alike things they are near.

python embed.py model.onnx config.yaml image.jpg x_min,y_min,x_max,y_max ...
"""

import json
import sys

from classify import asked

if __name__ == "__main__":
    (embeddings, similarities), config = asked(*sys.argv[1:])
    for vector, cosines in zip(embeddings, similarities, strict=True):
        nearest = config["classes"][cosines.argmax()]["value"]
        answer = {"nearest": nearest, "cosine": float(cosines.max()), "vector": vector.tolist()}
        print(json.dumps(answer))
