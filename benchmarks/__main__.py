"""Speed and memory, as ratios measured side by side in one run: `python -m benchmarks [MODEL]`."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision

import caffe2fx
import fx2caffe
from fx2caffe.tracing.tracer import trace

PARTS = ("export", "load", "infer")


def seconds(body: Callable[[], object]) -> float:
    """Return how long `body` takes."""
    start = time.perf_counter()
    body()
    return time.perf_counter() - start


def peak_megabytes() -> float:
    """Return the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def prepared(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """Return a model that has run once, so that nobody pays for the first call."""
    model = torchvision.models.get_model(name, weights=None).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        model(x)
    return model, x


def export(name: str, folder: Path) -> None:
    """Export and save, against tracing and a plain write of the same bytes."""
    model, x = prepared(name)
    fx2caffe.export(torch.nn.ReLU(), x)  # imports
    before = peak_megabytes()
    files = folder / "net.prototxt", folder / "net.caffemodel"
    ours = seconds(lambda: fx2caffe.export(model, x).save(*files))
    grown = peak_megabytes() - before
    held = seconds(lambda: trace(model, x, held_to_model=True))
    tracing = seconds(lambda: trace(model, x))
    content = files[1].read_bytes()
    writing = seconds(lambda: (folder / "plain").write_bytes(content))
    print(f"export + save          {ours:8.2f} s")
    print(f"trace + plain write    {tracing + writing:8.2f} s")
    print(f"ratio                  {ours / (tracing + writing):8.2f}")
    print(f"held to the model      {held - tracing:8.2f} s (its own run, the graph's, checksums)")
    print(f"memory over the model's{grown:8.0f} MB (files: {len(content) / 2**20:.0f} MB)")


def load(name: str, folder: Path) -> None:
    """Load the files back, against torch.load of the same weights."""
    model, x = prepared(name)
    files = folder / "net.prototxt", folder / "net.caffemodel"
    fx2caffe.export(model, x).save(*files)
    torch.save(model.state_dict(), folder / "net.pth")
    caffe2fx.load(*files)
    before = peak_megabytes()
    ours = min(seconds(lambda: caffe2fx.load(*files)) for _ in range(3))
    theirs = min(seconds(lambda: torch.load(folder / "net.pth")) for _ in range(3))
    print(f"caffe2fx.load          {ours:8.3f} s")
    print(f"torch.load             {theirs:8.3f} s")
    print(f"memory                 {peak_megabytes() - before:8.0f} MB")


def infer(name: str, folder: Path) -> None:
    """Run the loaded net, against the model that it came from."""
    model, x = prepared(name)
    files = folder / "net.prototxt", folder / "net.caffemodel"
    fx2caffe.export(model, x).save(*files)
    loaded = caffe2fx.load(*files)
    with torch.no_grad():
        loaded(x)
        ours = min(seconds(lambda: loaded(x)) for _ in range(5))
        theirs = min(seconds(lambda: model(x)) for _ in range(5))
    print(f"loaded net / model     {ours / theirs:8.2f} ({ours:.3f} s / {theirs:.3f} s)")


def main() -> None:
    """Run each part in a process of its own, so that memory is its own."""
    name = sys.argv[1] if len(sys.argv) > 1 else "vgg16_bn"
    if len(sys.argv) > 2:
        with tempfile.TemporaryDirectory() as folder:
            {"export": export, "load": load, "infer": infer}[sys.argv[2]](name, Path(folder))
        return
    for part in PARTS:
        print(f"{name}: {part}", flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks", name, part], check=True)


if __name__ == "__main__":
    main()
