package graph

func reductionRules() map[string]*Rule { return map[string]*Rule{} }
