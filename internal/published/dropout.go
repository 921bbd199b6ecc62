package published

import (
	"github.com/compactify/compactify/train"
)

// dropout is the part of table 2 of the paper whose networks are not wider than 1024.
// Not in the paper: the rates, and where initial weights come from.
var dropout = Experiment{
	Name:   "dropout",
	About:  "Srivastava et al. 2014: dropout on MNIST",
	Source: "N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, \"Dropout: a simple way to prevent neural networks from overfitting\", JMLR 15 (2014), table 2",
	Data:   "datasets/mnist",
	Notes: []string{
		"All 60,000 training examples train, pixels in [0, 1]; the weights after the last epoch are tested.",
		"Values stay with probability 0.8 in the input and 0.5 in hidden layers; what stays is divided by it in training.",
		"The published recipe, of --full: momentum 0.95, 1,000,000 steps of 100 examples, the norm of each unit's incoming weights at most 2 where the table says max-norm. The paper does not give the rates.",
		"The shorter forms take Adam, which comes further in few steps. Their rates were chosen by the error on 10,000 of the training examples, after up to 12 epochs on the others.",
		"The best row is picked by its test error, and the interval of its gain does not allow for that. Max-norm at 2 hardly binds with these initial weights in so few steps.",
	},
	Rows: []Row{
		{"standard (2×800 logistic)", 1.60, 0, recipe("mlp:784-800-800-10", train.Logistic, false, 0), false},
		{"dropout (3×1024 logistic)", 1.35, 0, recipe(wide, train.Logistic, true, 0), false},
		{"dropout (3×1024 ReLU)", 1.25, 0, recipe(wide, train.ReLU, true, 0), false},
		{"dropout + max-norm (3×1024 ReLU)", 1.06, 0, recipe(wide, train.ReLU, true, 2), false},
	},
	Gap: Gap{Published: 1.60 - 1.06, Least: 0.2},
}

// wide is the network of 3 hidden layers of 1024.
const wide = "mlp:784-1024-1024-1024-10"

// The steps of the published recipe, and what an epoch of them is.
const (
	dropoutSteps = 1000000
	dropoutBatch = 100
	mnistTrains  = 60000
)

// recipe trains a network, with a bound on the norm of incoming weights unless it is 0.
func recipe(name string, activation train.Activation, dropout bool, maxNorm float64) func(Length) (train.Architecture, train.Options) {
	return func(l Length) (train.Architecture, train.Options) {
		a, o := train.Architecture{Name: name, Activation: activation}, train.Options{Batch: dropoutBatch}
		if dropout {
			o.Dropout = train.Dropout{Input: 0.2, Hidden: 0.5}
		}
		if maxNorm > 0 {
			o.Penalties = []train.Penalty{{Kind: train.MaxNorm, Lambda: train.Always(maxNorm)}}
		}
		logistic := activation == train.Logistic
		if l == Full {
			rate := 0.03
			if logistic {
				a.Init, rate = train.GlorotLogistic, 0.05
			}
			o.Epochs = dropoutSteps * dropoutBatch / mnistTrains
			o.Optimizer, o.Momentum, o.Rates = train.SGD, 0.95, train.Linear(rate, rate/1000)
			return a, o
		}
		rate := 1e-3
		switch {
		case logistic && dropout:
			a.Init, rate = train.GlorotUniform, 2e-3
		case logistic:
			a.Init = train.GlorotLogistic
		}
		o.Optimizer, o.Rates = train.Adam, train.Linear(rate, 1e-5)
		if o.Epochs = 40; l == Quick {
			o.Epochs = 2
		}
		return a, o
	}
}
