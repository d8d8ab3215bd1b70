package oracle

import (
	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/shop"
)

// pool is an offer's stock, counted apart from the offer's own fold.
type pool struct {
	limited         bool
	put, held, sold int64
	holds           map[uuid.UUID]*held // by order
	limit           int64               // per buyer; 0: none
	buyers          map[uuid.UUID]int64
	next            uint64 // revision
}

type held struct {
	buyer      uuid.UUID
	quantity   int64
	sold, gone bool
}

func (o *Oracle) offer(id uuid.UUID, e event.Event) {
	p := o.offers[id]
	if p == nil {
		p = &pool{holds: map[uuid.UUID]*held{}, buyers: map[uuid.UUID]int64{}}
		o.offers[id] = p
	}
	if e.Revision != p.next {
		o.breach("a stream has no gaps", e.Stream, "%s is at revision %d, expected %d", e.Type, e.Revision, p.next)
	}
	p.next = e.Revision + 1
	switch b := e.Body.(type) {
	case offer.Tweeted:
		p.limit = b.LimitPerBuyer
		if b.Stock != nil {
			p.limited, p.put = true, *b.Stock
		}
	case offer.Restocked:
		p.put += b.Added
	case offer.StockHeld:
		if p.holds[b.Order] != nil {
			o.breach("stock is held once an order", e.Stream, "order %s holds again", b.Order)
		}
		p.holds[b.Order] = &held{buyer: b.Buyer, quantity: b.Quantity}
		p.held += b.Quantity
		p.buyers[b.Buyer] += b.Quantity
	case offer.StockSold:
		h := p.holds[b.Order]
		if h == nil || h.sold || h.gone || h.quantity != b.Quantity {
			o.breach("what is sold was held", e.Stream, "%d units for order %s", b.Quantity, b.Order)
			return
		}
		h.sold = true
		p.held, p.sold = p.held-b.Quantity, p.sold+b.Quantity
	case offer.StockReleased:
		o.released(p, e, b)
	}
	if p.limited && p.held+p.sold > p.put {
		o.breach("no oversell", e.Stream, "%d held and %d sold of %d", p.held, p.sold, p.put)
	}
	if h, ok := e.Body.(offer.StockHeld); ok && p.limit > 0 && p.buyers[h.Buyer] > p.limit {
		o.breach("no buyer has more than the limit", e.Stream, "%d of %d", p.buyers[h.Buyer], p.limit)
	}
}

func (o *Oracle) released(p *pool, e event.Event, b offer.StockReleased) {
	h := p.holds[b.Order]
	if h == nil || h.gone || b.Quantity <= 0 || b.Quantity > h.quantity || h.sold != b.WasSold {
		o.breach("a hold is released once", e.Stream, "%d units of order %s", b.Quantity, b.Order)
		return
	}
	if h.sold {
		p.sold -= b.Quantity
	} else {
		p.held -= b.Quantity
	}
	p.buyers[h.buyer] -= b.Quantity
	h.quantity -= b.Quantity
	h.gone = h.quantity == 0
}

func (o *Oracle) shop(id uuid.UUID, e event.Event) {
	s, ok := o.shops[id]
	if !ok {
		s = shop.Decider.Initial()
	}
	if n, nets := e.Body.(shop.DebtNetted); nets && (n.Amount > max(0, s.Owed) || n.Amount < min(0, s.Owed)) {
		o.breach("no more is netted than is owed", e.Stream, "%d netted for order %s, owed %d", n.Amount, n.Order, s.Owed)
	}
	s = shop.Decider.Evolve(s, e.Body)
	o.shops[id] = s
	sum := s.Owed
	for _, a := range s.Adjusted {
		if a.Netted {
			sum += a.Amount
		}
	}
	for _, n := range s.Netted {
		sum += n
	}
	for _, n := range s.Written {
		sum += n.Amount
	}
	for _, n := range s.Carried {
		sum -= n
	}
	if sum != 0 {
		o.breach("debts are conserved", e.Stream, "carried is not netted + owed + adjusted + written off: off by %d", sum)
	}
}
