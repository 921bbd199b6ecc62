"""How often ONNX Runtime runs a model per second: the inverse of the median time
of one run, after a warm-up of a quarter of the time.

    python ort_infer.py --model FILE --threads N --seconds S

Inputs hold the numbers of engine.Example, with 1 for sizes that are open; they and the
outputs are bound beforehand, so that no time is spent on copies.
"""

import argparse
import statistics
import time

import numpy as np
import onnxruntime as ort

KINDS = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}


def example(node):
    shape = [d if isinstance(d, int) else 1 for d in node.shape]
    n = int(np.prod(shape))
    kind = KINDS[node.type]
    values = np.sin(0.37 * np.arange(n)) if kind is np.float32 else np.arange(n) % 16
    return values.astype(kind).reshape(shape)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2)
    args = parser.parse_args()

    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    kept = [ort.OrtValue.ortvalue_from_numpy(example(i)) for i in session.get_inputs()]
    for node, value in zip(session.get_inputs(), kept):
        binding.bind_ortvalue_input(node.name, value)
    for node in session.get_outputs():
        binding.bind_output(node.name)

    def run():
        start = time.perf_counter()
        session.run_with_iobinding(binding)
        return time.perf_counter() - start

    start = time.perf_counter()
    while time.perf_counter() - start < args.seconds / 4:
        run()
    times, spent = [], 0.0
    while spent < args.seconds or len(times) < 3:
        times.append(run())
        spent += times[-1]
    print(f"{1 / statistics.median(times):.5g}")


if __name__ == "__main__":
    main()
