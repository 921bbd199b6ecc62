"""Training throughput of PyTorch: python3 torch_train.py --work mlp --threads 1 --seconds 3

Prints images per second: whole steps (forward, cross-entropy, backward, SGD
with momentum 0.9) on batches of 128, over at least SECONDS of wall time after a
warm-up of a quarter of it. Inputs are random: the arithmetic does not
depend on them. The networks are described in ../README.md.
"""

import argparse
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

BATCH = 128
BATCHES = 64  # distinct ones, 8,192 images: more than a cache holds


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def lenet5_caffe():
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    )  # fmt: skip


class Block(nn.Module):
    """A basic block; where it widens, the shortcut is a 1x1 convolution."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False), nn.BatchNorm2d(channels_out),
        )  # fmt: skip
        self.shortcut = nn.Identity()
        if channels_in != channels_out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out))

    def forward(self, x):
        return torch.relu_(self.shortcut(x) + self.body(x))


def resnet20():
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    width = 16
    for channels in (16, 32, 64):
        for k in range(3):
            layers.append(Block(width, channels, 2 if channels > 16 and k == 0 else 1))
            width = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


NETWORKS = {"mlp": mlp, "lenet5": lenet5, "lenet5-caffe": lenet5_caffe, "resnet20": resnet20}
SHAPES = {"resnet20": (3, 32, 32)}  # of an image; 1 x 28 x 28 elsewhere


class Trainer:
    def __init__(self, work, layout):
        memory_format = getattr(torch, layout)
        self.model = NETWORKS[work]().to(memory_format=memory_format)
        self.inputs = torch.rand(BATCHES, BATCH, *SHAPES.get(work, (1, 28, 28)))
        self.labels = torch.randint(0, 10, (BATCHES, BATCH))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.step_count = 0

    def step(self):
        i = self.step_count % BATCHES
        self.step_count += 1
        self.optimizer.zero_grad(set_to_none=True)
        cross_entropy(self.model(self.inputs[i]), self.labels[i]).backward()
        self.optimizer.step()

    def rate(self, seconds):
        """Steps for at least `seconds`; returns images per second."""
        start, images = time.perf_counter(), 0
        while True:
            self.step()
            images += BATCH
            elapsed = time.perf_counter() - start
            if elapsed >= seconds:
                return images / elapsed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", choices=sorted(NETWORKS), required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--layout", choices=["channels_last", "contiguous_format"], default="channels_last")
    args = parser.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    trainer = Trainer(args.work, args.layout)
    trainer.rate(args.seconds / 4)
    print(f"{trainer.rate(args.seconds):.0f}")


if __name__ == "__main__":
    main()
