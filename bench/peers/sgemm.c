/* sgemm N SECONDS: float32 C = A·B of N×N matrices in OpenBLAS.
 *
 * Prints GFLOP/s: 2N³ per product, over at least SECONDS of wall time after
 * one second's worth of warm-up at most. OMP_NUM_THREADS sets the threads and
 * OPENBLAS_CORETYPE the kernel set.
 *
 * sgemm --core prints the name of the kernel set and the library's version.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* run multiplies until `seconds` have passed and returns products per second. */
static double run(int n, const float *a, const float *b, float *c, double seconds) {
	double start = now(), elapsed;
	long products = 0;
	do {
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 0, c, n);
		products++;
		elapsed = now() - start;
	} while (elapsed < seconds);
	return products / elapsed;
}

int main(int argc, char **argv) {
	if (argc == 2 && strcmp(argv[1], "--core") == 0) {
		printf("%s (%s)\n", openblas_get_corename(), openblas_get_config());
		return 0;
	}
	int n = argc == 3 ? atoi(argv[1]) : 0;
	double seconds = argc == 3 ? atof(argv[2]) : 0;
	if (n <= 0 || n > 16384 || seconds <= 0) {
		fprintf(stderr, "usage: sgemm N SECONDS | sgemm --core\n");
		return 2;
	}
	size_t len = (size_t)n * n, bytes = (len * sizeof(float) + 63) / 64 * 64;
	float *a = aligned_alloc(64, bytes), *b = aligned_alloc(64, bytes), *c = aligned_alloc(64, bytes);
	if (!a || !b || !c) {
		fprintf(stderr, "sgemm: allocate 3 matrices of %zu bytes: out of memory\n", bytes);
		return 1;
	}
	/* Values of one size and both signs, so that no sum grows towards a slow
	 * path and none is subnormal. */
	for (size_t i = 0; i < len; i++) {
		a[i] = (float)(i % 97) / 97 - 0.5f;
		b[i] = (float)(i % 89) / 89 - 0.5f;
	}
	run(n, a, b, c, seconds < 4 ? seconds / 4 : 1);
	printf("%.1f\n", run(n, a, b, c, seconds) * 2.0 * n * n * n / 1e9);
	return 0;
}
