package graph

import "maps"

func controlRules() map[string]*Rule {
	all := arithmeticRules()
	maps.Copy(all, activationRules())
	maps.Copy(all, internalRules())
	return all
}
