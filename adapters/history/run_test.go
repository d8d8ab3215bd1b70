package history_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// Two lines of an order may be of one offer.
func TestAnOrderNamesAnOfferTwice(t *testing.T) {
	s := newScene(t)
	s.accepts(t, append(opening, place(1, "first", ask("poster", 1), ask("mug", 1), ask("poster", 2)), line(2, "ship-order", "order", "first"))...)
	if got, want := s.types(t, stream("offer", "poster")), "OfferTweeted OfferStockHeld OfferStockSold"; got != want {
		t.Errorf("the posters: %s, want %s", got, want)
	}
}

// blocked is an input that somebody writes to only much later.
type blocked struct {
	head io.Reader
	read chan struct{} // closed when everything before was read
	once sync.Once
}

func (b *blocked) Read(p []byte) (int, error) {
	if n, err := b.head.Read(p); err == nil {
		return n, nil
	}
	b.once.Do(func() { close(b.read) })
	select {}
}

// Whoever stops an import does not wait for its input.
func TestStopWhileTheInputWaits(t *testing.T) {
	s := newScene(t)
	ctx, stop := context.WithCancel(t.Context())
	in := &blocked{head: strings.NewReader(strings.Join(opening, "\n") + "\n"), read: make(chan struct{})}
	go func() {
		<-in.read
		stop()
	}()
	if o := s.read(ctx, in); !errors.Is(o.err, context.Canceled) {
		t.Errorf("the import ended with %v", o.err)
	}
}

// broken gives its text and then an error.
func broken(text string) io.Reader {
	return io.MultiReader(strings.NewReader(text), iotest.ErrReader(errLine))
}

var errLine = errors.New("the line went dead")

func TestInputThatBreaksOff(t *testing.T) {
	for range 20 { // lines are decided while the next are read
		s := newScene(t)
		o := s.read(t.Context(), broken(strings.Join(opening, "\n")+"\n"+line(1, "place-order")))
		if !errors.Is(o.err, errLine) || !strings.Contains(o.err.Error(), "breaks off at line 4") {
			t.Fatalf("the import ended with %v", o.err)
		}
		if o.Accepted != 3 || o.Read != 3 {
			t.Fatalf("%+v: the three lines before must be imported", o.Tally)
		}
	}
}
