package published

// Experiments are all there are.
var Experiments = []Experiment{dropout, binaryConnect}
