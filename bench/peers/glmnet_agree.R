# glmnet_agree.R DATA: glmnet as tight as it gets on its own example data and on real regressions,
# columns standardised (1) and not (2), always with an intercept. Writes problems as linear_data.py
# does, and the coefficients, to $PEERS_DIR; prints TAG N P FAMILY[:CLASSES] ALPHA STANDARDIZE for
# each. The lambda are glmnet's, and so is what alpha means for gaussian problems. DATA is the folder of test data.
suppressMessages(library(glmnet))
data <- paste0(commandArgs(TRUE)[1], "/tabular/")
out <- paste0(Sys.getenv("PEERS_DIR"), "/")
glmnet.control(fdev = 0, devmax = 1)

agree <- function(tag, x, y, family, classes = 0, ratio = 1e-3) {
  x <- as.matrix(x)
  name <- if (family == "multinomial") paste0(family, ":", classes) else family
  for (standardize in 1:2) for (alpha in c(1, 0.5)) {
    at <- paste0(tag, standardize)
    writeBin(as.double(x), paste0(out, at, ".X"))
    writeBin(as.double(y), paste0(out, at, ".y"))
    f <- glmnet(x, if (family %in% c("binomial", "multinomial")) factor(y) else y, family = family, alpha = alpha,
      standardize = standardize == 1, lambda.min.ratio = ratio, thresh = 1e-20, maxit = 1e8)
    beta <- if (is.list(f$beta)) do.call(rbind, lapply(f$beta, as.matrix)) else as.matrix(f$beta)
    writeBin(as.double(f$lambda), paste0(out, at, ".", alpha, ".lambda"))
    writeBin(as.double(beta), paste0(out, at, ".", alpha, ".glmnet.beta"))
    cat(at, nrow(x), ncol(x), name, alpha, standardize, "\n")
  }
}

for (each in c("Binomial", "Multinomial", "Poisson")) {
  load(paste0(data, "glmnet/", each, "Example.rda"))
  example <- get(paste0(each, "Example"))
  y <- as.numeric(example$y)
  if (each != "Poisson") y <- y - min(y)
  agree(each, example$x, y, tolower(each), length(unique(y)))
}
housing <- as.matrix(read.table(paste0(data, "jbrownlee/housing.data")))
agree("housing", housing[, 1:13], housing[, 14], "gaussian")
agree("diabetes", read.table(paste0(data, "linfa/diabetes_data.csv.gz"), sep = ","), scan(paste0(data, "linfa/diabetes_target.csv.gz"), quiet = TRUE), "gaussian")
golub <- as.matrix(read.table(paste0(data, "microarray/golub.csv.gz"), sep = ","))
agree("golub", golub[, -1], golub[, 1], "gaussian", ratio = 1e-2)
