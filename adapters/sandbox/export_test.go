package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Endpoints are the patterns of all that is served of Stripe's API.
func Endpoints() []string { return slices.Sorted(maps.Keys(endpoints)) }

// Late tells which of the first n webhooks chaos reorders.
func Late(c WebhookChaos, n int) (late []bool) {
	k := newChaos(c)
	for range n {
		late = append(late, k.draw().late)
	}
	return late
}

// CheckSnapshot compares the state with one that is made of its snapshot, as a
// journal would hold it.
func (s *Server) CheckSnapshot() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, is := s.state, newState()
	raw := mustJSON(was.snapshot())
	var entries []entry
	if err := json.Unmarshal(raw, &entries); err != nil {
		return err
	}
	for _, e := range entries {
		is.apply(e)
	}
	was.book.settle(was.now)
	is.book.settle(was.now)
	if again := mustJSON(is.snapshot()); !bytes.Equal(raw, again) {
		return fmt.Errorf("the snapshot of a snapshot differs:\n%s\n%s", raw, again)
	}
	some := func(m map[purse]int64) string {
		m = maps.Clone(m)
		maps.DeleteFunc(m, func(_ purse, n int64) bool { return n == 0 })
		return fmt.Sprint(m)
	}
	ids := func(st *state) string {
		all := map[purse][]string{}
		for p, list := range st.book.settled {
			for _, b := range list {
				all[p] = append(all[p], b.ID)
			}
			slices.Sort(all[p])
		}
		return fmt.Sprint(all)
	}
	for what, pair := range map[string][2]string{
		"balances":                {some(was.book.balance), some(is.book.balance)},
		"available funds":         {some(was.book.available), some(is.book.available)},
		"funds for daily payouts": {ids(was), ids(is)},
		"payouts of funds":        {fmt.Sprint(was.book.covered), fmt.Sprint(is.book.covered)},
		"refunds that wait":       {fmt.Sprint(was.short), fmt.Sprint(is.short)},
		"accounts paid daily":     {fmt.Sprint(was.daily), fmt.Sprint(is.daily)},
	} {
		if pair[0] != pair[1] {
			return fmt.Errorf("%s: %s, after a snapshot %s", what, pair[0], pair[1])
		}
	}
	return nil
}
