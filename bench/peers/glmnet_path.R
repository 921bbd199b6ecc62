# glmnet_path.R TAG N P FAMILY ALPHA STANDARDIZE THRESH REPEATS: glmnet on a problem that
# linear_data.py wrote to $PEERS_DIR, on the lambda written there, none left out. Prints the median
# seconds and the megabytes the process held at most beyond those before it read the data, and
# writes TAG.ALPHA.glmnet.beta, .intercept.
suppressMessages(library(glmnet))
a <- commandArgs(TRUE)
tag <- a[1]; n <- as.integer(a[2]); p <- as.integer(a[3]); family <- a[4]; alpha <- as.numeric(a[5])
standardize <- a[6] == "1"; thresh <- as.numeric(a[7]); repeats <- as.integer(a[8])
file <- function(end) paste0(Sys.getenv("PEERS_DIR"), "/", tag, end)
doubles <- function(end) readBin(file(end), "double", file.size(file(end)) / 8)
held <- function(what) as.numeric(gsub("[^0-9]", "", grep(what, readLines("/proc/self/status"), value = TRUE))) * 1.024e-3
before <- held("VmRSS")
if (base::file.exists(file(".start"))) {
  ints <- function(end) readBin(file(end), "integer", file.size(file(end)) / 4)
  X <- new("dgCMatrix", p = ints(".start"), i = ints(".row"), x = doubles(".value"), Dim = c(n, p))
} else {
  X <- doubles(".X")
  dim(X) <- c(n, p)
}
y <- doubles(".y")
lambda <- doubles(paste0(".", a[5], ".lambda"))
glmnet.control(fdev = 0, devmax = 1)
seconds <- c()
for (i in 1:repeats) {
  start <- proc.time()[3]
  f <- glmnet(X, y, family = family, alpha = alpha, lambda = lambda, standardize = standardize, intercept = standardize, thresh = thresh, maxit = 1e8)
  seconds <- c(seconds, proc.time()[3] - start)
}
most <- held("VmHWM") - before
stopifnot(length(f$lambda) == length(lambda))
writeBin(as.double(as.matrix(f$beta)), file(paste0(".", a[5], ".glmnet.beta")))
writeBin(as.double(f$a0), file(paste0(".", a[5], ".glmnet.intercept")))
cat(sprintf("%.4f %.1f\n", median(seconds), most))
