package engine

// cacheSize bounds compiled policies per language; clusters have a few dozen.
const cacheSize = 128

// cache keeps what was compiled from a source, failures included, forgetting the oldest first.
type cache[T any] struct {
	entries map[string]cached[T]
	order   []string
}

type cached[T any] struct {
	value T
	err   error
}

func newCache[T any]() *cache[T] {
	return &cache[T]{entries: map[string]cached[T]{}}
}

func (c *cache[T]) get(source string, compile func() (T, error)) (T, error) {
	if found, ok := c.entries[source]; ok {
		return found.value, found.err
	}
	value, err := compile()
	if len(c.order) == cacheSize {
		delete(c.entries, c.order[0])
		c.order = c.order[1:]
	}
	c.entries[source] = cached[T]{value, err}
	c.order = append(c.order, source)
	return value, err
}
