"""Weights rounded and pruned by PyTorch: python3 torch_codecs.py --work int8 --size 10000 --threads 2 --seconds 1

Prints millions of weights per second, by the median run: a matrix of SIZE rows of
SIZE normal weights, each run from the float32 weights to a new tensor.

int8: a scale per row of its largest magnitude, and int8 integers. --variant
quantize uses quantize_per_channel, arithmetic writes it out.
prune: the nine tenths of least magnitude become zero, at the exact threshold.
--variant kthvalue, sort and partition (NumPy's) find it.

Every run asks the system for the memory of its results anew, as is PyTorch's way;
glibc's MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ make it keep memory.
"""

import argparse
import statistics
import time

import numpy
import torch

WARM_UPS = 4


def int8_quantize(w):
    scale = w.abs().amax(1) / 127
    return torch.quantize_per_channel(w, scale, torch.zeros(len(w)), 0, torch.qint8)


def int8_arithmetic(w):
    scale = torch.maximum(w.amax(1), -w.amin(1)) / 127
    return torch.round(w / scale[:, None]).clamp_(-128, 127).to(torch.int8)


def pruned(w, threshold):
    return torch.where(w.abs() > threshold, w, torch.zeros(()))


def rank(w):
    return w.numel() * 9 // 10


def prune_kthvalue(w):
    return pruned(w, torch.kthvalue(w.abs().flatten(), rank(w)).values)


def prune_sort(w):
    return pruned(w, torch.sort(w.abs().flatten()).values[rank(w) - 1])


def prune_partition(w):
    k = rank(w) - 1
    return pruned(w, torch.tensor(numpy.partition(w.abs().flatten().numpy(), k)[k]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", choices=["int8", "prune"], required=True)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--size", type=int, default=10000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    run = globals()[f"{a.work}_{a.variant}"]
    w = torch.randn(a.size, a.size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for _ in range(WARM_UPS):
            run(w)
        times, began = [], time.perf_counter()
        while not times or time.perf_counter() - began < a.seconds:
            start = time.perf_counter()
            run(w)
            times.append(time.perf_counter() - start)
    print(f"{w.numel() / 1e6 / statistics.median(times):.5g}")


main()
