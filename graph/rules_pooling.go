package graph

func poolingRules() map[string]*Rule { return map[string]*Rule{} }
