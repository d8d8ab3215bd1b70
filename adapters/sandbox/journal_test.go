package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Golden vector of the signature scheme, computed apart from this code.
func TestSign(t *testing.T) {
	got := sign([]byte(`{"id":"evt_test","object":"event"}`), "whsec_test_secret", time.Unix(1_700_000_000, 0))
	if want := "t=1700000000,v1=8042376f6ca064adbe037642a718227dfd59047137eb49497a54c49eb0cfb724"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func fill(t *testing.T, j *journal, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		j.add([]entry{{Account: &account{ID: fmt.Sprintf("acct_%04d", i)}}})
	}
	if err := j.wait(j.add(nil)); err != nil {
		t.Fatal(err)
	}
}

func accountsIn(t *testing.T, dir string) (st *state, j *journal) {
	t.Helper()
	st = newState()
	j, err := openJournal(dir, st.apply)
	if err != nil {
		t.Fatal(err)
	}
	return st, j
}

// A rewritten journal says the same as the one before it, in the same order,
// whatever was being written meanwhile.
func TestRewrite(t *testing.T) {
	dir := t.TempDir()
	_, j := accountsIn(t, dir)
	j.add([]entry{{Header: &header{Format: journalFormat}}})
	fill(t, j, 0, 2500)
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	st, j := accountsIn(t, dir)
	before := j.size
	for range 3 { // the same objects again and again: the journal grows, the state does not
		for _, e := range st.snapshot() {
			j.add([]entry{e})
		}
	}
	j.rewrite(st.snapshot())
	fill(t, j, 2500, 2600)
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, journalName))
	if err != nil || info.Size() != j.size || j.size > before*11/10 {
		t.Errorf("size %d, %d on disk, %d before: %v", j.size, info.Size(), before, err)
	}
	st, j = accountsIn(t, dir)
	defer j.close()
	i := 0
	for a := range st.accounts.all() {
		if want := fmt.Sprintf("acct_%04d", i); a.ID != want {
			t.Fatalf("%s at %d", a.ID, i)
		}
		i++
	}
	if i != 2600 {
		t.Errorf("%d accounts, want 2600", i)
	}
}

// The journal is rewritten while requests come in, as often as it has grown
// enough; nothing is lost by that.
func TestRewriteUnderLoad(t *testing.T) {
	o := Options{SecretKey: "sk_test_x", Dir: t.TempDir()}
	s := New(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	s.journal.mu.Lock()
	s.journal.least = 1
	s.journal.mu.Unlock()
	form := url.Values{"amount": {"2000"}, "currency": {"usd"}, "confirm": {"true"}, "payment_method": {"pm_card_visa"}, "payment_method_types[]": {"card"}}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for n := range 20 {
				p := newParams(form)
				a, refused := s.execute(request{path: "/", key: fmt.Sprint(i, "-", n)}, createIntent(p, ""), p.done())
				if refused != nil || a.status != 200 {
					t.Error(refused, a.status)
				}
			}
		})
	}
	wait.Wait()
	before := mustJSON(s.state.snapshot()[1:]) // without the header, which counts starts
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s.journal.base == 0 {
		t.Error("it was never rewritten")
	}
	s = New(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if after := mustJSON(s.state.snapshot()[1:]); !bytes.Equal(before, after) {
		t.Errorf("before %d bytes, after %d bytes", len(before), len(after))
	}
	if err := s.Verify(); err != nil {
		t.Error(err)
	}
}

// After a failed write nothing is acknowledged any more: not what failed, nor
// what comes later.
func TestFailedWrite(t *testing.T) {
	dir := t.TempDir()
	_, j := accountsIn(t, dir)
	fill(t, j, 0, 3)
	j.file.Close() // the disk is gone
	for range 2 {
		if err := j.wait(j.add([]entry{{Account: &account{ID: "acct_lost"}}})); err == nil {
			t.Fatal("acknowledged")
		}
	}
	if err := j.broken(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("broken: %v", err)
	}
	j.close()
	st, j := accountsIn(t, dir)
	defer j.close()
	if st.accounts.len() != 3 {
		t.Errorf("%d accounts, want 3", st.accounts.len())
	}
}

func TestJournalOfAnotherVersion(t *testing.T) {
	quark := []byte(`[{"quark":{}}]`)
	for name, line := range map[string][]byte{
		"format 2":      encodeLine([]entry{{Header: &header{Format: 2}}}),
		"unknown field": fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(quark, castagnoli), quark),
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, journalName)
		if err := os.WriteFile(path, line, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openJournal(dir, newState().apply); err == nil {
			t.Errorf("%s was read", name)
		}
		if left, _ := os.ReadFile(path); !bytes.Equal(left, line) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// Every rotten journal is either read up to its last good line or refused; what
// is read once is read again the same.
func FuzzReplay(f *testing.F) {
	good := append(encodeLine([]entry{{Header: &header{Format: journalFormat}}}), encodeLine([]entry{{Account: &account{ID: "acct_1"}}})...)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add([]byte("00000000 []\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		st := newState()
		end, err := replay(bytes.NewReader(raw), st.apply)
		if err != nil {
			return
		}
		if end < 0 || end > int64(len(raw)) {
			t.Fatalf("good up to %d of %d", end, len(raw))
		}
		again := newState()
		if e, err := replay(bytes.NewReader(raw[:end]), again.apply); err != nil || e != end {
			t.Fatalf("the good part: up to %d, %v", e, err)
		}
		if a, b := mustJSON(st.snapshot()), mustJSON(again.snapshot()); !bytes.Equal(a, b) {
			t.Fatalf("%s\n%s", a, b)
		}
	})
}

// No parameters, however odd, get through to an operation that they were not
// checked for, and none makes an endpoint fall over.
func FuzzParams(f *testing.F) {
	f.Add("amount=2000&currency=usd&payment_method_types[0]=card&metadata[a]=b&expand[]=latest_charge")
	f.Add("limit=3&created[gte]=1&starting_after=x&types[]=y&expand[0]=data.source")
	f.Add("type=card&card[number]=4242424242424242&card[exp_month]=1&card[exp_year]=2030&card[cvc]=123")
	f.Add("")
	f.Add("metadata=&metadata[]=x&expand[9999999999999999999]=y&a[b][c]=d")
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		for name, do := range endpoints {
			s := New(Options{SecretKey: "sk_test_x"})
			if err := s.boot(); err != nil {
				t.Fatal(err)
			}
			p := newParams(values)
			op := do(p, "pi_x")
			if p.done() != nil {
				continue
			}
			if _, failed := s.execute(request{path: name}, op, nil); failed != nil {
				t.Errorf("%s: %v", name, failed)
			}
			if err := s.Verify(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
