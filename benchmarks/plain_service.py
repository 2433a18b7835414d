"""A run in, an endpoint out that answers picture by picture: what a tutorial of FastAPI and PyTorch would write.

`python benchmarks/plain_service.py RUN PORT`; bench_service.py does that.
"""

import io
import sys
from pathlib import Path

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

from convscope.runs import load_run

run = load_run(sys.argv[1])
checkpoint = run.checkpoint
height, width = checkpoint["picture"]["size"]
mean = torch.tensor(checkpoint["mean"]).view(-1, 1, 1)
std = torch.tensor(checkpoint["std"]).view(-1, 1, 1)

app = FastAPI()


def answer(content: bytes) -> dict[str, str | int | float]:
    """Decode, normalise, run the network on the one picture."""
    image = Image.open(io.BytesIO(content)).convert(checkpoint["picture"]["mode"]).resize((width, height))
    pixels = torch.from_numpy(np.array(image)).reshape(height, width, -1).permute(2, 0, 1)
    batch = ((pixels.float() / 255 - mean) / std).unsqueeze(0)
    with torch.no_grad():
        probabilities = torch.softmax(run.model(batch), dim=1)[0]
    index = int(probabilities.argmax())
    return {"label": run.classes[index], "index": index, "probability": float(probabilities[index])}


@app.post("/async")
async def in_the_loop(image: UploadFile) -> dict[str, str | int | float]:
    """As most tutorials have it."""
    return answer(await image.read())


@app.post("/def")
def in_a_thread(image: UploadFile) -> dict[str, str | int | float]:
    """As FastAPI's documentation advises for what blocks: one of its threads runs it."""
    return answer(image.file.read())


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]))
