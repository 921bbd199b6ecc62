package graph

func quantizationRules() map[string]*Rule { return map[string]*Rule{} }
