package linear_test

import (
	"context"
	"fmt"
	"log"

	"github.com/compactify/compactify/linear"
)

func ExampleHomotopy() {
	x, err := linear.NewDense(3, 3, []float64{3, 0, 1, 0, -3, 0, 3, -1, 0})
	if err != nil {
		log.Fatal(err)
	}
	problem := linear.Problem{X: x, Y: []float64{3, 3, -1}}
	path, err := linear.Homotopy(context.Background(), problem, linear.Penalty{Alpha: 1}, linear.HomotopyOptions{Exact: true})
	if err != nil {
		log.Fatal(err)
	}
	for i := range path.Points {
		p := &path.Points[i]
		value, _ := p.Coefficients()
		fmt.Println("λ =", p, "coefficients", value, "of columns", p.Index, "then", p.Support)
	}
	fmt.Println(path.Verdict)
	// Output:
	// λ = 3 coefficients [] of columns [] then [1]
	// λ = 8/3 coefficients [-1/9] of columns [1] then [0 1]
	// λ = 18/13 coefficients [5/13 -7/13] of columns [0 1] then [0 1 2]
	// λ = 1 coefficients [-23/27 5/9] of columns [1 2] then [1 2]
	// λ = 1/7 coefficients [-239/189 59/63] of columns [1 2] then [0 1 2]
	// λ = 0 coefficients [-1/1 -5/3 2/1] of columns [0 1 2] then [0 1 2]
	// verified
}
