"""sklearn_path.py TAG N P FAMILY ALPHA STANDARDIZE TOL REPEATS: scikit-learn on a problem that
linear_data.py wrote to $PEERS_DIR, on the lambda written there: enet_path, or LIBLINEAR for
binomial problems, which has no path and starts every lambda anew. Prints the median seconds and
the megabytes the process held at most beyond those before it read the data, and writes
TAG.ALPHA.sklearn.beta, .intercept. Problems that need an intercept are not for it: LIBLINEAR
penalises it."""
import os
import statistics
import sys
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression, enet_path

warnings.simplefilter("ignore")
tag, n, p, family, alpha = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], float(sys.argv[5])
tol, repeats = float(sys.argv[7]), int(sys.argv[8])
assert sys.argv[6] == "0"
base = f"{os.environ['PEERS_DIR']}/{tag}"


def held(what):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(what)) * 1.024e-3


before = held("VmRSS")
x = np.fromfile(base + ".X").reshape(p, n).T
y = np.fromfile(base + ".y")
lambdas = np.fromfile(f"{base}.{alpha:g}.lambda")
if family == "binomial":
    x = np.ascontiguousarray(x)
seconds = []
for _ in range(repeats):
    start = time.perf_counter()
    if family == "gaussian":
        beta = enet_path(x, y, l1_ratio=alpha, alphas=lambdas, tol=tol, max_iter=100000)[1].T
    else:
        beta = []
        for each in lambdas:
            model = LogisticRegression(penalty="l1", solver="liblinear", C=1 / (n * each), fit_intercept=False, tol=tol, max_iter=1000)
            beta.append(model.fit(x, y).coef_[0].copy())
    seconds.append(time.perf_counter() - start)
most = held("VmHWM") - before
np.ascontiguousarray(beta).tofile(f"{base}.{alpha:g}.sklearn.beta")
np.zeros(len(lambdas)).tofile(f"{base}.{alpha:g}.sklearn.intercept")
print(f"{statistics.median(seconds):.4f} {most:.1f}")
