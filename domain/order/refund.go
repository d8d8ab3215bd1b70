package order

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
)

// LineState is what became of a line.
type LineState struct {
	Line
	Shipped  int64 // units
	Returned int64 // units refunded
	// Each unit has its own part of the order's amounts, so it matters which ones go
	// back: Free, whose refund failed, and then those from Next on.
	Free []Span
	Next int64
}

// Span of a line's units: N of them, after the first From.
type Span struct{ From, N int64 }

// give says which n units of the line go back next, and what the line is then.
func (l LineState) give(n int64) (units []Span, after LineState) {
	free := slices.Clone(l.Free)
	for n > 0 && len(free) > 0 {
		some := min(n, free[0].N)
		units = append(units, Span{free[0].From, some})
		n -= some
		if free[0] = (Span{free[0].From + some, free[0].N - some}); free[0].N == 0 {
			free = free[1:]
		}
	}
	if n > 0 {
		units = append(units, Span{l.Next, n})
		l.Next += n
	}
	l.Free = free
	return units, l
}

// Refund is one that was agreed.
type Refund struct {
	ID    uuid.UUID
	Units []Units
	Spans [][]Span // of the lines in Units
	Allocation
	Unearned money.Minor
	Rest     bool
	Reason   string
	Status   RefundStatus
	RefundID string // the processor's
	Taken           // once it is in the books
}

// Amount is what the buyer gets.
func (r Refund) Amount() money.Minor { return r.Total() + r.Unearned }

// RefundStatus says how far a refund is.
type RefundStatus string

// Refund statuses.
const (
	Agreed  RefundStatus = "agreed"
	Asked   RefundStatus = "requested"
	Pending RefundStatus = "pending" // accepted by the processor, not paid yet
	Given   RefundStatus = "refunded"
	Refused RefundStatus = "failed" // or returned
)

func evolveRefund(s *State, e event.Data) {
	p := &s.Payment
	switch e := e.(type) {
	case RefundRequested:
		p.ask(Request{Step: Refunding, Key: e.Key, At: e.At, Amount: e.Amount, Refund: e.Refund, Intent: e.Intent})
		s.refund(e.Refund).Status = Asked
	case RefundPending:
		p.answered(about{refund: e.Refund}, Refunding)
		p.take(e.Taken)
		r := s.refund(e.Refund)
		r.Status, r.RefundID, r.Taken = Pending, e.RefundID, e.Taken
	case Refunded:
		p.answered(about{refund: e.Refund}, Refunding)
		r := s.refund(e.Refund)
		r.Status, r.RefundID = Given, e.RefundID
		if !e.WasPending {
			p.take(e.Taken)
			r.Taken = e.Taken
		}
	case RefundFailed:
		p.answered(about{refund: e.Refund}, Refunding)
		s.undone(e.Refund, e.RetryAt)
	case RefundReturned:
		p.restore(e.Restored)
		s.undone(e.Refund, e.RetryAt)
	default:
		evolveSettlement(s, e)
	}
}

// undone makes a refund one that was never agreed.
func (s *State) undone(id uuid.UUID, again *time.Time) {
	r := s.refund(id)
	r.Status = Refused
	if again != nil {
		s.Payment.ReturnAt = *again
	}
	s.Refunded = s.Refunded.Minus(r.Allocation)
	s.Payment.Unearned += r.Unearned
	for i, u := range r.Units {
		l := &s.Lines[u.Line-1]
		l.Returned -= u.Quantity
		l.Free = append(slices.Clone(l.Free), r.Spans[i]...)
	}
}

func (s *State) refund(id uuid.UUID) *Refund {
	for i := range s.Refunds {
		if s.Refunds[i].ID == id {
			return &s.Refunds[i]
		}
	}
	panic("order: an event speaks of a refund that was never agreed")
}
