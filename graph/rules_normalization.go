package graph

func normalizationRules() map[string]*Rule { return map[string]*Rule{} }
