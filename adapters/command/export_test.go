package command

// Crowd lets n commands wait on a stream until leave is called. (With the race
// detector there are not as many goroutines to be had as may wait.)
func Crowd[S any](h *Handler[S], stream string, n int) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lanes[stream] = &lane[S]{stream: stream, waiting: make([]*waiter[S], n)}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.lanes, stream)
	}
}
