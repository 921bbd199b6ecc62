"""linear_gap.py TAG N P FAMILY ALPHA STANDARDIZE PROGRAM: the worst duality gap over the path that a
program wrote for a problem of linear_data.py, relative to the objective of the model without
columns, and relative to the objective at each lambda.

Everybody is judged alike, from coefficients only: the intercept, if there is one, is first set to
its best value, and the dual point is the residual, scaled until it is feasible if alpha is 1.
"""
import os
import sys

import numpy as np
import scipy.sparse

tag, n, p, family, alpha = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], float(sys.argv[5])
standardize, program = sys.argv[6] == "1", sys.argv[7]
base = f"{os.environ['PEERS_DIR']}/{tag}"
y = np.fromfile(base + ".y")
lambdas = np.fromfile(f"{base}.{alpha:g}.lambda")
beta = np.fromfile(f"{base}.{alpha:g}.{program}.beta").reshape(-1, p)
if os.path.exists(base + ".start"):
    start, row = np.fromfile(base + ".start", dtype=np.int32), np.fromfile(base + ".row", dtype=np.int32)
    x = scipy.sparse.csc_matrix((np.fromfile(base + ".value"), row, start), shape=(n, p))
    mean = np.asarray(x.mean(0)).ravel()
    sd = np.sqrt(np.maximum(np.asarray(x.multiply(x).mean(0)).ravel() - mean**2, 0))
else:
    x = np.fromfile(base + ".X").reshape(p, n).T
    mean, sd = x.mean(0), x.std(0)
if not standardize:
    mean, sd = np.zeros(p), np.ones(p)
live = sd > 0
sd = np.where(live, sd, 1)


def correlations(v):
    """Of the standardised columns with a vector, over n."""
    return np.where(live, (x.T @ v - mean * v.sum()) / sd / n, 0)


def intercept(f):
    """The best one, by Newton's method on the logistic loss."""
    if not standardize:
        return 0.0
    if family == "gaussian":
        return (y - f).mean()
    b = -f.mean()
    for _ in range(100):
        q = 1 / (1 + np.exp(-(f + b)))
        slope, bend = (q - y).mean(), (q * (1 - q)).mean()
        step = np.clip(slope / max(bend, 1e-300), -1, 1)
        b -= step
        if abs(step) < 1e-15 * (1 + abs(b)):
            break
    return b


def xlogx(u):
    return np.where(u > 0, u * np.log(np.where(u > 0, u, 1)), 0)


def gap(each, coefficients):
    """The gap and the objective."""
    theta = coefficients * sd
    theta[~live] = 0
    f = x @ coefficients
    f += intercept(f)
    l1, l2 = each * alpha, each * (1 - alpha)
    penalty = l1 * np.abs(theta).sum() + l2 / 2 * theta @ theta
    if family == "gaussian":
        r = y - f
        c = correlations(r)
        objective = r @ r / (2 * n) + penalty
        if l2 > 0:
            s, conjugate = 1.0, (np.maximum(np.abs(c) - l1, 0) ** 2).sum() / (2 * l2)
        else:
            s, conjugate = min(1, l1 / max(1e-300, np.abs(c).max())), 0.0
        target = y - y.mean() if standardize else y
        dual = (2 * s * r @ target - s * s * r @ r) / (2 * n) - conjugate
    else:
        m = (2 * y - 1) * f
        u = np.where(m > 0, np.exp(-np.maximum(m, 0)), 1) / (1 + np.exp(-np.abs(m)))
        objective = np.logaddexp(0, -m).mean() + penalty
        u = u * min(1, l1 / max(1e-300, np.abs(correlations((2 * y - 1) * u)).max()))
        dual = -(xlogx(u) + xlogx(1 - u)).mean()
    return objective - dual, objective


none = gap(lambdas[0], np.zeros(p))[1]
worst_null = worst_own = 0.0
for each, coefficients in zip(lambdas, beta):
    difference, objective = gap(each, coefficients.copy())
    worst_null = max(worst_null, difference / none)
    worst_own = max(worst_own, difference / objective)
print(f"{worst_null:.2e} {worst_own:.2e}")
