package sandbox

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/stripe-sandbox.md")

const pagePath = "../../docs/stripe-sandbox.md"

// does says of a test card what its fields say.
func (card *testCard) does() string {
	var says []string
	switch card.challenge {
	case always:
		says = append(says, "asks for 3D Secure every time; off session: `authentication_required`")
	case unlessSetUp:
		says = append(says, "asks for 3D Secure until it is set up")
	case onSession:
		says = append(says, "asks for 3D Secure on session; off session it does not")
	}
	if d := card.decline; d != nil {
		word := "declined"
		if d.blocked {
			word = "blocked by Radar"
		} else if card.token == "pm_card_chargeCustomerFail" {
			word = "can be attached to a customer; payments are declined"
		}
		says = append(says, fmt.Sprintf("%s: `%s` / `%s`", word, d.code, d.reason))
	}
	if card.risk != "" && card.decline == nil {
		says = append(says, "risk level `"+card.risk+"`")
	}
	if len(card.disputes) > 0 {
		kind := "disputed when captured: `"
		if card.inquiry {
			kind = "an inquiry when captured: `"
		}
		says = append(says, kind+strings.Join(card.disputes, "`, then `")+"`")
	}
	if card.warned {
		says = append(says, "an early fraud warning when captured")
	}
	switch card.refunds {
	case refundWaits:
		says = append(says, "a refund is pending for 30 seconds")
	case refundFails:
		says = append(says, "a refund succeeds, and fails 30 seconds later")
	}
	if card.availableAtOnce {
		says = append(says, "its funds are available at once")
	}
	if len(says) == 0 {
		return "accepted"
	}
	return strings.Join(says, ", then ")
}

func cardTable() string {
	var b strings.Builder
	for i := range testCards {
		c := &testCards[i]
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", c.number, c.token, c.does())
	}
	return b.String()
}

func endpointTable() string {
	by := map[string][]string{}
	for pattern := range endpoints {
		_, path, _ := strings.Cut(pattern, " /v1/")
		object, _, _ := strings.Cut(path, "/")
		by[object] = append(by[object], pattern)
	}
	if account := by["account"]; account != nil { // one's own
		by["accounts"] = append(by["accounts"], account...)
		delete(by, "account")
	}
	var b strings.Builder
	for _, object := range slices.Sorted(maps.Keys(by)) {
		methods := map[string][]string{}
		for _, pattern := range by[object] {
			method, path, _ := strings.Cut(pattern, " ")
			methods[path] = append(methods[path], method)
		}
		var cells []string
		for _, path := range slices.Sorted(maps.Keys(methods)) {
			slices.Sort(methods[path])
			cells = append(cells, "`"+strings.Join(methods[path], ", ")+" "+path+"`")
		}
		fmt.Fprintf(&b, "| %s | %s |\n", strings.ReplaceAll(object, "_", " "), strings.Join(cells, "<br>"))
	}
	return b.String()
}

var (
	endpointRows = regexp.MustCompile(`(?m)(^\| object \| requests \|\n\|---\|---\|\n)(@ENDPOINTS@\n|(?:\|.*\n)*)`)
	cardRows     = regexp.MustCompile(`(?m)(^\| number \| token \| what happens \|\n\|---\|---\|---\|\n)(@CARDS@\n|(?:\|.*\n)*)`)
)

// The page tells what is served and what each card does; -update writes it.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	want := endpointRows.ReplaceAllString(string(text), "${1}"+strings.ReplaceAll(endpointTable(), "$", "$$"))
	want = cardRows.ReplaceAllString(want, "${1}"+strings.ReplaceAll(cardTable(), "$", "$$"))
	if !strings.Contains(want, endpointTable()) || !strings.Contains(want, cardTable()) {
		t.Fatal("the page has lost a table")
	}
	if *update {
		if err := os.WriteFile(pagePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s is not up to date: run go test ./adapters/sandbox -run Page -update", pagePath)
	}
	for number := range testBanks {
		if !strings.Contains(want, number) {
			t.Errorf("the bank account %s is not told", number)
		}
	}
	for name := range faultNames {
		if !strings.Contains(want, "| `"+name+"` |") {
			t.Errorf("the fault %s is not told", name)
		}
	}
}
