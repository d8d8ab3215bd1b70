package main

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"

	"kicau/domain/shop"
)

// shopOf shows a shop's terms, newest last.
func shopOf(t *testing.T, data, id string) (s struct {
	Terms    termsNow
	Fees     []shop.Fees
	Payments []shop.Settlement
	Owes     int64
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(wantCLI(t, exitDone, id, "shop", "show", id, "--data", data, "--output", "json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestShopTerms: what a change does not name stays as it was agreed.
func TestShopTerms(t *testing.T) {
	data, id := t.TempDir(), uuid.NewString()
	does := func(what string, flags ...string) {
		t.Helper()
		wantCLI(t, exitDone, id, append([]string{"shop", what, id, "--data", data}, flags...)...)
	}
	wantCLI(t, exitDone, id, "shop", "onboard", "--id", id, "--data", data, "--name", "Mugs", "--currency", "GBP", "--fee-fixed", "0.20", "--account", "new")

	does("payment", "--reserve", "10%", "--reserve-days", "30")
	does("payment", "--hold-hours", "24", "--principal")
	does("payment", "--no-principal", "--from", "2100-01-01T00:00:00Z")
	does("fees", "--fee-min", "0.50")
	s := shopOf(t, data, id)
	p, f := s.Payments, s.Fees[len(s.Fees)-1]
	if len(p) != 4 || p[1].HoldHours != 168 || p[1].ReserveBasisPoints != 1000 ||
		p[2].HoldHours != 24 || p[2].ReserveBasisPoints != 1000 || p[2].ReserveDays != 30 || !p[2].Principal ||
		p[3].HoldHours != 24 || p[3].Principal || p[3].ValidFrom.Year() != 2100 {
		t.Errorf("paid like %+v", p)
	}
	if f.BasisPoints != 500 || f.Fixed != 20 || f.Minimum != 50 || f.Cap != 0 {
		t.Errorf("the fees are %+v", f)
	}
	// What holds now, and what will.
	if n := s.Terms; n.HoldHours != 24 || n.ReserveBasisPoints != 1000 || n.ReserveDays != 30 || !n.Principal || n.Fees.Minimum != 50 || n.Fees.Fixed != 20 || n.Name != "Mugs" {
		t.Errorf("the terms of now are %+v", n)
	}
	wantCLI(t, exitDone, "money held 24 h, 10.00% of it for 30 days more\n  from 2100-01-01 00:00 money held 24 h, 10.00%", "shop", "show", id, "--data", data)
	wantCLI(t, exitUsage, "nothing is to change", "shop", "payment", id, "--data", data)
	wantCLI(t, exitUsage, "nothing is to change", "shop", "fees", id, "--data", data)
	wantCLI(t, exitFailed, "is not onboarded", "shop", "fees", uuid.NewString(), "--fee", "1%", "--data", data)

	does("adjust", "--charge", "12.50", "--kind", "bank charge", "--reason", "returned transfer")
	does("adjust", "--credit", "2.50", "--kind", "goodwill", "--reason", "late statement")
	if owes := shopOf(t, data, id).Owes; owes != 1000 {
		t.Errorf("it owes %d pence after a charge of 12.50 and a credit of 2.50", owes)
	}
	wantCLI(t, exitUsage, "not negative", "shop", "adjust", id, "--charge=-1", "--kind", "k", "--reason", "r", "--data", data)
	wantCLI(t, exitUsage, "can't be used together", "shop", "adjust", id, "--charge", "1", "--credit", "1", "--kind", "k", "--reason", "r", "--data", data)
	wantCLI(t, exitUsage, "give --credit, what is owed to the shop, or --charge", "shop", "adjust", id, "--kind", "k", "--reason", "r", "--data", data)
}
