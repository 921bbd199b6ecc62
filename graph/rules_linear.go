package graph

func linearRules() map[string]*Rule { return map[string]*Rule{} }
