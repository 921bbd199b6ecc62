package graph

func shapeRules() map[string]*Rule { return map[string]*Rule{} }
