package graph

func convolutionRules() map[string]*Rule { return map[string]*Rule{} }
