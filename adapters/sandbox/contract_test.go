package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

// stripeMock is Stripe's own mock server: it knows every request and the form of
// every answer of the API version that stripe-go v76 speaks, and nothing of what
// they do. It is no dependency: it is fetched and built for the test.
const stripeMock = "github.com/stripe/stripe-mock@v0.183.0"

// leftOut are fields of stripe-mock's answers that the sandbox does not send,
// and why.
var leftOut = map[string]string{
	"charge.refunds":                     "since version 2022-11-15 it is sent only when it is asked for (expand[]); the example has it all the same",
	"account.capabilities.card_payments": "the example's account asked for it, ours did not",
	"payment_method.metadata.order_id":   "the example's own",
}

// mirror stands before a sandbox. Whatever the sandbox carries out, stripe-mock
// must take for a good request, too; whatever it answers must be as Stripe
// describes it, with every field that stripe-mock's answer has.
type mirror struct {
	*testing.T
	box, mock string
	spec      *spec

	mu    sync.Mutex
	wrong map[string]string // what is wrong, and an example
	seen  map[string]int    // requests by endpoint
}

func newMirror(t *testing.T, box string) *mirror {
	t.Helper()
	m := &mirror{T: t, box: box, wrong: map[string]string{}, seen: map[string]int{}}
	bin := t.TempDir()
	install := exec.Command("go", "install", stripeMock)
	install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=-mod=mod")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%s cannot be built: %v\n%s", stripeMock, err, out)
	}
	where := exec.Command("go", "mod", "download", "-json", stripeMock)
	where.Dir = bin
	out, err := where.Output()
	if err != nil {
		t.Fatal(err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	m.spec = readSpec(t, filepath.Join(module.Dir, "embedded/openapi/spec3.json"))
	if m.spec.Info.Version != sandbox.APIVersion {
		t.Fatalf("stripe-mock speaks version %s, the sandbox %s", m.spec.Info.Version, sandbox.APIVersion)
	}
	m.mock = startMock(t, filepath.Join(bin, "stripe-mock"))
	t.Cleanup(func() {
		for _, w := range slices.Sorted(maps.Keys(m.wrong)) {
			t.Errorf("%s\n\t%s", w, m.wrong[w])
		}
	})
	return m
}

// startMock runs stripe-mock until the test ends and says where.
func startMock(t *testing.T, path string) string {
	ctx, stop := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, path, "-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0", "-strict-version-check")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = c.Wait() // it was killed
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if at, ok := strings.CutPrefix(lines.Text(), "Listening for HTTP at address: "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return "http://" + at
		}
	}
	t.Fatal("stripe-mock does not say where it listens")
	return ""
}

// ServeHTTP carries a request to both.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		m.Error(err)
	}
	resp, ours := m.carry(m.box, r, body)
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(ours)
	m.compare(r, body, resp.StatusCode, ours)
}

func (m *mirror) carry(base string, r *http.Request, body []byte) (*http.Response, []byte) {
	req, err := http.NewRequest(r.Method, base+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		m.Fatal(err)
	}
	req.Header = r.Header.Clone()
	if base == m.mock {
		req.Header.Set("Authorization", "Bearer sk_test_123")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		m.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		m.Fatal(err)
	}
	return resp, answer
}

func (m *mirror) found(what, example string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrong[what] = example
}

func (m *mirror) compare(r *http.Request, body []byte, status int, ours []byte) {
	asked := fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body)
	o := m.spec.operation(r.Method, r.URL.Path)
	if o == nil {
		m.found("Stripe has no "+r.Method+" "+r.URL.Path, asked)
		return
	}
	var answer any
	if err := json.Unmarshal(ours, &answer); err != nil {
		m.found(err.Error(), asked)
	}
	kind := "200"
	if status != http.StatusOK {
		kind = "default"
	}
	for _, w := range m.spec.check(o.answer(kind), answer, r.Method+" "+shape(r.URL.Path)) {
		m.found(w, asked+"\n\t"+string(ours))
	}
	if status != http.StatusOK && status != http.StatusPaymentRequired {
		return // a bad request, on purpose
	}
	resp, mocked := m.carry(m.mock, r, body)
	if resp.StatusCode != http.StatusOK {
		m.found("stripe-mock refuses it: "+string(mocked), asked)
		return
	}
	if status != http.StatusOK {
		return
	}
	m.served(r)
	var theirs any
	if err := json.Unmarshal(mocked, &theirs); err != nil {
		m.found(err.Error(), asked)
	}
	for _, name := range absent(answer, theirs, shape(r.URL.Path)) {
		if leftOut[name] == "" {
			m.found("not sent: "+name, asked+"\n\t"+string(ours))
		}
	}
}

// shape is a path without its ids.
func shape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if _, id, ok := strings.Cut(p, "_"); ok && len(id) > 15 && strings.ContainsAny(id, "0123456789") {
			parts[i] = "{id}"
		}
	}
	return strings.Join(parts, "/")
}

func (m *mirror) served(r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, pattern := range sandbox.Endpoints() {
		method, template, _ := strings.Cut(pattern, " ")
		if method == r.Method && fits(template, r.URL.Path) {
			m.seen[pattern]++
		}
	}
}

// Everything that the sandbox serves is asked for, by stripe-go and by Kicau's
// own client, through the mirror.
func TestContract(t *testing.T) {
	w := start(t, sandbox.Options{})
	m := newMirror(t, w.box.URL())
	front := httptest.NewServer(m)
	t.Cleanup(front.Close)
	w.API = newClient(front.URL, secretKey)

	w.tellPayments()
	w.tellTransfers()
	w.tellDisputes()
	w.tellEvents(m)
	for _, pattern := range sandbox.Endpoints() {
		if m.seen[pattern] == 0 {
			t.Errorf("%s is served, and nothing here asks for it", pattern)
		}
	}
}

// read goes through a list and fails the test when that breaks.
func (w *world) read(it interface {
	Next() bool
	Err() error
}) (n int) {
	w.Helper()
	for it.Next() {
		n++
	}
	w.must(it.Err())
	return n
}

func (w *world) tellPayments() {
	p := order(2000)
	p.Metadata = map[string]string{"order": "1"}
	p.Description, p.StatementDescriptorSuffix, p.TransferGroup = stripe.String("Coffee"), stripe.String("KOPI"), stripe.String("g1")
	pi, err := w.PaymentIntents.New(p)
	w.must(err)
	_, err = w.PaymentIntents.Update(pi.ID, &stripe.PaymentIntentParams{Amount: stripe.Int64(2100), Metadata: map[string]string{"order": "2"}})
	w.must(err)
	_, err = w.PaymentIntents.Confirm(pi.ID, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa_chargeDeclined")})
	w.expect(err, 402, "card_declined", "declined")
	_, err = w.PaymentIntents.Confirm(pi.ID, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa")})
	w.must(err)
	get := &stripe.PaymentIntentParams{}
	get.AddExpand("latest_charge.balance_transaction")
	get.AddExpand("payment_method")
	_, err = w.PaymentIntents.Get(pi.ID, get)
	w.must(err)
	_, err = w.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(1500), Metadata: map[string]string{"sent": "yes"}})
	w.must(err)
	_, err = w.PaymentIntents.Cancel(w.authorised(700, "pm_card_visa").ID, &stripe.PaymentIntentCancelParams{CancellationReason: stripe.String("abandoned")})
	w.must(err)
	p = order(3000)
	p.Confirm, p.PaymentMethod, p.ReturnURL = stripe.Bool(true), stripe.String("pm_card_authenticationRequired"), stripe.String("http://localhost/back")
	_, err = w.PaymentIntents.New(p)
	w.must(err)
	w.read(w.PaymentIntents.List(&stripe.PaymentIntentListParams{ListParams: stripe.ListParams{Limit: stripe.Int64(1)}, CreatedRange: &stripe.RangeQueryParams{GreaterThan: 1}}))
	w.read(w.Charges.List(&stripe.ChargeListParams{PaymentIntent: stripe.String(pi.ID)}))
	charge := &stripe.ChargeParams{}
	charge.AddExpand("refunds.data.balance_transaction")
	c, err := w.Charges.Get(w.chargeOf(pi.ID), charge)
	w.must(err)
	re, err := w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(pi.ID), Amount: stripe.Int64(100), Reason: stripe.String("requested_by_customer"), Metadata: map[string]string{"a": "b"}})
	w.must(err)
	for _, card := range []string{"pm_card_pendingRefund", "pm_card_refundFail"} {
		_, err = w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(w.paid(1000, card).ID)})
		w.must(err)
	}
	w.clock.add(sixtySeconds)
	_, err = w.Refunds.Get(re.ID, nil)
	w.must(err)
	w.read(w.Refunds.List(&stripe.RefundListParams{Charge: stripe.String(c.ID)}))
	w.read(w.Refunds.List(nil))
	m, err := w.PaymentMethods.New(&stripe.PaymentMethodParams{Type: stripe.String("card"), Card: &stripe.PaymentMethodCardParams{
		Number: stripe.String("5555555555554444"), ExpMonth: stripe.Int64(12), ExpYear: stripe.Int64(34), CVC: stripe.String("123"),
	}})
	w.must(err)
	_, err = w.PaymentMethods.Get(m.ID, nil)
	w.must(err)
	cus, err := w.Customers.New(&stripe.CustomerParams{Metadata: map[string]string{"buyer": "1"}})
	w.must(err)
	_, err = w.Customers.Get(cus.ID, nil)
	w.must(err)
	p = order(4000)
	p.Customer, p.SetupFutureUsage, p.Confirm, p.PaymentMethod = stripe.String(cus.ID), stripe.String("off_session"), stripe.Bool(true), stripe.String(m.ID)
	_, err = w.PaymentIntents.New(p)
	w.must(err)
	p = order(4000)
	p.Customer, p.OffSession, p.Confirm, p.PaymentMethod = stripe.String(cus.ID), stripe.Bool(true), stripe.Bool(true), stripe.String(m.ID)
	_, err = w.PaymentIntents.New(p)
	w.must(err)
}

const sixtySeconds = 60e9

func (w *world) chargeOf(intent string) string {
	w.Helper()
	pi, err := w.PaymentIntents.Get(intent, nil)
	w.must(err)
	return pi.LatestCharge.ID
}

func (w *world) tellTransfers() {
	seller := w.seller()
	_, err := w.Accounts.GetByID(seller.ID, nil)
	w.must(err)
	_, err = w.Accounts.Get()
	w.must(err)
	w.read(w.Accounts.List(nil))
	pi := w.paid(9000, "pm_card_bypassPending")
	tr, err := w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(5000), Currency: stripe.String("usd"), Destination: stripe.String(seller.ID), SourceTransaction: stripe.String(w.chargeOf(pi.ID)), Metadata: map[string]string{"a": "b"}})
	w.must(err)
	_, err = w.TransferReversals.New(&stripe.TransferReversalParams{ID: stripe.String(tr.ID), Amount: stripe.Int64(1000)})
	w.must(err)
	get := &stripe.TransferParams{}
	get.AddExpand("destination")
	_, err = w.Transfers.Get(tr.ID, get)
	w.must(err)
	w.read(w.Transfers.List(&stripe.TransferListParams{Destination: stripe.String(seller.ID)}))
	w.read(w.TransferReversals.List(&stripe.TransferReversalListParams{ID: stripe.String(tr.ID)}))
	_, err = w.Balance.Get(nil)
	w.must(err)
	list := &stripe.BalanceTransactionListParams{}
	list.AddExpand("data.source")
	w.read(w.BalanceTransactions.List(list))
	_, err = w.BalanceTransactions.Get(tr.BalanceTransaction.ID, nil)
	w.must(err)
	po, err := w.Payouts.New(&stripe.PayoutParams{Amount: stripe.Int64(1000), Currency: stripe.String("usd")})
	w.must(err)
	_, err = w.Payouts.Get(po.ID, nil)
	w.must(err)
	w.read(w.Payouts.List(&stripe.PayoutListParams{Status: stripe.String("pending")}))
}

func (w *world) tellDisputes() {
	for i, card := range []string{"pm_card_createDispute", "pm_card_createDisputeProductNotReceived", "pm_card_createDisputeInquiry", "pm_card_createMultipleDisputes", "pm_card_createIssuerFraudRecord"} {
		pi := w.paid(5000, card)
		it := w.Disputes.List(&stripe.DisputeListParams{PaymentIntent: stripe.String(pi.ID)})
		for it.Next() {
			d := it.Dispute()
			_, err := w.Disputes.Get(d.ID, nil)
			w.must(err)
			if i == 1 {
				_, err = w.Disputes.Close(d.ID, nil)
				w.must(err)
				continue
			}
			words := "winning_evidence"
			if i == 2 {
				words = "escalate_inquiry_evidence"
			}
			_, err = w.Disputes.Update(d.ID, &stripe.DisputeParams{Evidence: &stripe.DisputeEvidenceParams{UncategorizedText: stripe.String(words), ShippingCarrier: stripe.String("JNE")}, Submit: stripe.Bool(true)})
			w.must(err)
		}
		w.must(it.Err())
	}
	w.clock.add(2 * sixtySeconds)
	w.read(w.Disputes.List(nil))
	w.read(w.RadarEarlyFraudWarnings.List(nil))
}

// tellEvents checks every event and what it shows, and webhook endpoints.
func (w *world) tellEvents(m *mirror) {
	we, err := w.WebhookEndpoints.New(&stripe.WebhookEndpointParams{URL: stripe.String("http://127.0.0.1:9/hook"), EnabledEvents: stripe.StringSlice([]string{"charge.succeeded"}), Description: stripe.String("d")})
	w.must(err)
	_, err = w.WebhookEndpoints.Update(we.ID, &stripe.WebhookEndpointParams{Disabled: stripe.Bool(true)})
	w.must(err)
	_, err = w.WebhookEndpoints.Get(we.ID, nil)
	w.must(err)
	w.read(w.WebhookEndpoints.List(nil))
	_, err = w.WebhookEndpoints.Del(we.ID, nil)
	w.must(err)

	var last string
	it := w.Events.List(&stripe.EventListParams{ListParams: stripe.ListParams{Limit: stripe.Int64(100)}})
	for it.Next() {
		e := it.Event()
		last = e.ID
		kind, _ := e.Data.Object["object"].(string)
		sc := m.spec.Components.Schemas[kind]
		if sc == nil {
			w.Errorf("%s shows a %s, which Stripe does not have", e.Type, kind)
		}
		for _, wrong := range m.spec.check(sc, map[string]any(e.Data.Object), kind) {
			m.found(wrong, string(e.Type))
		}
	}
	w.must(it.Err())
	_, err = w.Events.Get(last, nil)
	w.must(err)
}
