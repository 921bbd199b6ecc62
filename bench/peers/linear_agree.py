"""linear_agree.py TAG N P FAMILY[:CLASSES] ALPHA: the largest difference between the coefficients of
ours and of glmnet on a problem of glmnet_agree.R, over all lambda, over the largest coefficient of
the path, both times the columns' standard deviations."""
import os
import sys

import numpy as np

tag, n, p, alpha = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[5]
base = f"{os.environ['PEERS_DIR']}/{tag}"
sd = np.fromfile(base + ".X").reshape(p, n).std(1)
lambdas = len(np.fromfile(f"{base}.{alpha}.lambda"))
ours, theirs = (np.fromfile(f"{base}.{alpha}.{who}.beta").reshape(lambdas, -1, p) * sd for who in ("ours", "glmnet"))
print(f"{np.abs(ours - theirs).max() / np.abs(theirs).max():.2e}")
