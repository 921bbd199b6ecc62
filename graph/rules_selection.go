package graph

func selectionRules() map[string]*Rule { return map[string]*Rule{} }
