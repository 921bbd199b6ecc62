package graph

func recurrentRules() map[string]*Rule { return map[string]*Rule{} }
