"""linear_data.py DATA [--quick]: the problems of bench/linear.sh as raw files in $PEERS_DIR.

TAG.X holds the columns one after the other in float64; a sparse matrix is TAG.start and
TAG.row (int32) and TAG.value (float64) instead, by columns. TAG.y are the targets, TAG.lambda
the 100 lambda from the one at which every coefficient is 0 downwards. One line per problem on
standard output: TAG n p family alpha standardize bytes, standardize 1 meaning with an intercept
and columns divided by their standard deviation. DATA is the folder of test data.
"""
import gzip
import os
import sys

import numpy as np
import scipy.sparse
from sklearn.datasets import load_svmlight_file

out = os.environ["PEERS_DIR"]
data, quick = sys.argv[1], "--quick" in sys.argv


def write(tag, x, y, family, alphas, standardize, ratio):
    n, p = x.shape
    if scipy.sparse.issparse(x):
        x = x.tocsc()
        x.sort_indices()
        x.indptr.astype(np.int32).tofile(f"{out}/{tag}.start")
        x.indices.astype(np.int32).tofile(f"{out}/{tag}.row")
        x.data.astype(np.float64).tofile(f"{out}/{tag}.value")
        size = 12 * x.nnz + 4 * (p + 1)
        mean = np.asarray(x.mean(0)).ravel()
        sd = np.sqrt(np.maximum(np.asarray(x.multiply(x).mean(0)).ravel() - mean**2, 0))
    else:
        x.ravel(order="F").tofile(f"{out}/{tag}.X")
        size = 8 * n * p
        mean, sd = x.mean(0), x.std(0)
    y.astype(np.float64).tofile(f"{out}/{tag}.y")
    null = y.mean() if standardize else (0.5 if family == "binomial" else 0.0)
    residual = y - null
    c = np.abs(x.T @ residual - (mean * residual.sum() if standardize else 0)) / n
    c = c / np.where(sd > 0, sd, np.inf) if standardize else c
    for alpha in alphas:
        (c.max() / alpha * np.logspace(0, np.log10(ratio), 100)).tofile(f"{out}/{tag}.{alpha:g}.lambda")
        print(tag, n, p, family, f"{alpha:g}", int(standardize), size)


def synthetic(tag, n, p, family, alphas, ratio):
    """20 coefficients that are not 0; centred columns of variance 1; a signal to noise ratio of 3."""
    r = np.random.default_rng(7)
    x = r.standard_normal((n, p))
    x -= x.mean(0)
    x /= x.std(0)
    b = np.zeros(p)
    b[r.choice(p, 20, replace=False)] = r.standard_normal(20)
    f = x @ b
    if family == "gaussian":
        y = f + r.standard_normal(n) * f.std() / 3**0.5
        y -= y.mean()
        y /= y.std()
    else:
        f *= 2 / f.std()
        y = (r.random(n) < 1 / (1 + np.exp(-f))).astype(float)
    write(tag, x, y, family, alphas, False, ratio)


def microarray(tag):
    with gzip.open(f"{data}/tabular/microarray/{tag}.csv.gz", "rt") as f:
        rows = [line.strip().split(",") for line in f]
    labels = sorted({row[0] for row in rows})
    y = np.array([labels.index(row[0]) for row in rows], dtype=float)
    write(tag, np.array([row[1:] for row in rows], dtype=float), y, "binomial", [1], True, 0.01)


shrink = 5 if quick else 1
synthetic("a", 1000 // shrink, 5000 // shrink, "gaussian", [1, 0.5], 0.01)
synthetic("b", 200 // shrink, 20000 // shrink, "gaussian", [1, 0.5], 0.01)
synthetic("c", 20000 // shrink, 200 // shrink, "gaussian", [1], 1e-4)
synthetic("l", 1000 // shrink, 2000 // shrink, "binomial", [1], 0.01)
microarray("golub")
microarray("alon")
x, y = load_svmlight_file(f"{data}/tabular/libsvm/a9a.gz", n_features=123)
write("a9a", x, (y > 0).astype(float), "binomial", [1], True, 1e-4)
