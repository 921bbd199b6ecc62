package graph

func controlRules() map[string]*Rule { return map[string]*Rule{} }
