package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
	kicau "kicau/adapters/stripe"
	steps "kicau/domain/order"
	"kicau/domain/payment"
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
	"balance.connect_reserved":           "only platforms have it; the sandbox leaves it out of a connected account's balance",
	"search_result.total_count":          "it is sent only when it is asked for (expand[])",
}

// sentAllTheSame are requests that stripe-mock refuses and client libraries send.
var sentAllTheSame = map[string]string{
	"POST /v1/accounts/{id}/external_accounts external_account[": "stripe-go sends a bank account as external_account; the description has it as bank_account, and takes only tokens here",
}

func tolerated(r *http.Request, body []byte) bool {
	for prefix := range sentAllTheSame {
		if strings.HasPrefix(r.Method+" "+shape(r.URL.Path)+" "+string(body), prefix) {
			return true
		}
	}
	return false
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
		if tolerated(r, body) {
			return
		}
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
		if _, id, ok := strings.Cut(p, "_"); ok && len(id) > 15 && id != strings.ToLower(id) {
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
	w.API, w.front = newClient(front.URL, secretKey), front.URL

	w.tellPayments()
	w.tellTransfers()
	w.tellDisputes()
	w.tellCards()
	w.tellPayouts()
	w.tellKicau(front.URL)
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
	_, err = w.Refunds.Update(re.ID, &stripe.RefundParams{Metadata: map[string]string{"c": "d"}})
	w.must(err)
	_, err = w.Charges.Update(c.ID, &stripe.ChargeParams{Description: stripe.String("Coffee, ground")})
	w.must(err)
	w.read(w.PaymentIntents.Search(&stripe.PaymentIntentSearchParams{SearchParams: stripe.SearchParams{Query: `status:"succeeded" AND metadata["order"]:"2"`}}))
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
	trr, err := w.TransferReversals.New(&stripe.TransferReversalParams{ID: stripe.String(tr.ID), Amount: stripe.Int64(1000)})
	w.must(err)
	_, err = w.TransferReversals.Get(trr.ID, &stripe.TransferReversalParams{ID: stripe.String(tr.ID)})
	w.must(err)
	_, err = w.TransferReversals.Update(trr.ID, &stripe.TransferReversalParams{ID: stripe.String(tr.ID), Metadata: map[string]string{"a": "b"}})
	w.must(err)
	get := &stripe.TransferParams{}
	get.AddExpand("destination")
	_, err = w.Transfers.Get(tr.ID, get)
	w.must(err)
	_, err = w.Transfers.Update(tr.ID, &stripe.TransferParams{Description: stripe.String("June")})
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
	warnings := w.RadarEarlyFraudWarnings.List(nil)
	for warnings.Next() {
		_, err := w.RadarEarlyFraudWarnings.Get(warnings.RadarEarlyFraudWarning().ID, nil)
		w.must(err)
	}
	w.must(warnings.Err())
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

	accounts := []string{w.box.AccountID()}
	for it := w.Accounts.List(nil); it.Next(); {
		accounts = append(accounts, it.Account().ID)
	}
	for _, account := range accounts {
		p := &stripe.EventListParams{ListParams: stripe.ListParams{Limit: stripe.Int64(100)}}
		p.SetStripeAccount(account)
		var last string
		it := w.Events.List(p)
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
		if last != "" {
			get := &stripe.EventParams{}
			get.SetStripeAccount(account)
			_, err = w.Events.Get(last, get)
			w.must(err)
		}
	}
}

// tellCards keeps cards: customers, payment methods, SetupIntents.
func (w *world) tellCards() {
	cus, err := w.Customers.New(&stripe.CustomerParams{Name: stripe.String("Sari"), Email: stripe.String("sari@example.com"), PaymentMethod: stripe.String("pm_card_visa")})
	w.must(err)
	_, err = w.Customers.Update(cus.ID, &stripe.CustomerParams{Phone: stripe.String("+62 21 000")})
	w.must(err)
	w.read(w.Customers.List(&stripe.CustomerListParams{Email: stripe.String("sari@example.com")}))
	m, err := w.PaymentMethods.Attach("pm_card_mastercard", &stripe.PaymentMethodAttachParams{Customer: stripe.String(cus.ID)})
	w.must(err)
	_, err = w.PaymentMethods.Update(m.ID, &stripe.PaymentMethodParams{Card: &stripe.PaymentMethodCardParams{ExpMonth: stripe.Int64(11), ExpYear: stripe.Int64(2035)}})
	w.must(err)
	w.read(w.PaymentMethods.List(&stripe.PaymentMethodListParams{Customer: stripe.String(cus.ID), Type: stripe.String("card")}))
	w.read(w.Customers.ListPaymentMethods(&stripe.CustomerListPaymentMethodsParams{Customer: stripe.String(cus.ID)}))
	_, err = w.PaymentMethods.Detach(m.ID, nil)
	w.must(err)

	fresh := func(p stripe.SetupIntentParams) *stripe.SetupIntent {
		p.Customer, p.PaymentMethodTypes = stripe.String(cus.ID), stripe.StringSlice([]string{"card"})
		s, err := w.SetupIntents.New(&p)
		w.must(err)
		return s
	}
	s := fresh(stripe.SetupIntentParams{Description: stripe.String("for later")})
	_, err = w.SetupIntents.Update(s.ID, &stripe.SetupIntentParams{Metadata: map[string]string{"a": "b"}})
	w.must(err)
	_, err = w.SetupIntents.Confirm(s.ID, &stripe.SetupIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa_chargeDeclined")})
	w.expect(err, 402, "card_declined", "declined")
	_, err = w.SetupIntents.Get(s.ID, nil)
	w.must(err)
	_, err = w.SetupIntents.Confirm(s.ID, &stripe.SetupIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa")})
	w.must(err)
	fresh(stripe.SetupIntentParams{Confirm: stripe.Bool(true), PaymentMethod: stripe.String("pm_card_authenticationRequiredOnSetup"), ReturnURL: stripe.String("http://localhost/back"), Usage: stripe.String("off_session")})
	_, err = w.SetupIntents.Cancel(fresh(stripe.SetupIntentParams{}).ID, &stripe.SetupIntentCancelParams{CancellationReason: stripe.String("abandoned")})
	w.must(err)
	w.read(w.SetupIntents.List(&stripe.SetupIntentListParams{Customer: stripe.String(cus.ID)}))
	_, err = w.Customers.Del(cus.ID, nil)
	w.must(err)
	_, err = w.Customers.Get(cus.ID, nil)
	w.must(err)
}

// tellPayouts sends money to banks: by hand, every day, back again.
func (w *world) tellPayouts() {
	seller := w.seller()
	as := func(p *stripe.Params) { p.SetStripeAccount(seller.ID) }
	var banks []string
	for _, number := range []string{"000123456789", "000111111116", "000111111113"} {
		b, err := w.BankAccounts.New(&stripe.BankAccountParams{Account: stripe.String(seller.ID), AccountNumber: stripe.String(number), RoutingNumber: stripe.String("110000000"),
			Country: stripe.String("US"), Currency: stripe.String("usd"), AccountHolderName: stripe.String("Toko Kopi")})
		w.must(err)
		banks = append(banks, b.ID)
	}
	resp, _ := w.raw("POST", "/v1/accounts/"+seller.ID+"/external_accounts", url.Values{
		"bank_account[object]": {"bank_account"}, "bank_account[account_number]": {"000222222227"}, "bank_account[country]": {"US"}})
	if resp.StatusCode != http.StatusOK {
		w.Errorf("bank_account: %s", resp.Status)
	}
	_, err := w.BankAccounts.Get(banks[0], &stripe.BankAccountParams{Account: stripe.String(seller.ID)})
	w.must(err)
	w.read(w.BankAccounts.List(&stripe.BankAccountListParams{Account: stripe.String(seller.ID)}))
	w.paid(50_000, "pm_card_bypassPending")
	_, err = w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(9000), Currency: stripe.String("usd"), Destination: stripe.String(seller.ID)})
	w.must(err)
	for _, bank := range banks {
		p := &stripe.PayoutParams{Amount: stripe.Int64(1000), Currency: stripe.String("usd"), Destination: stripe.String(bank)}
		as(&p.Params)
		_, err := w.Payouts.New(p)
		w.must(err)
	}
	p := &stripe.PayoutParams{Amount: stripe.Int64(1000), Currency: stripe.String("usd")}
	as(&p.Params)
	po, err := w.Payouts.New(p)
	w.must(err)
	p = &stripe.PayoutParams{Metadata: map[string]string{"month": "June"}}
	as(&p.Params)
	_, err = w.Payouts.Update(po.ID, p)
	w.must(err)
	p = &stripe.PayoutParams{}
	as(&p.Params)
	_, err = w.Payouts.Cancel(po.ID, p)
	w.must(err)
	_, err = w.Accounts.Update(seller.ID, &stripe.AccountParams{Email: stripe.String("toko@example.com"), Settings: &stripe.AccountSettingsParams{Payouts: &stripe.AccountSettingsPayoutsParams{Schedule: &stripe.AccountSettingsPayoutsScheduleParams{Interval: stripe.String("daily")}}}})
	w.must(err)
	w.clock.add(7 * 24 * 60 * sixtySeconds)
	l := &stripe.PayoutListParams{}
	l.SetStripeAccount(seller.ID)
	it := w.Payouts.List(l)
	for it.Next() {
		po := it.Payout()
		if po.Automatic {
			txns := &stripe.BalanceTransactionListParams{Payout: stripe.String(po.ID)}
			txns.SetStripeAccount(seller.ID)
			w.read(w.BalanceTransactions.List(txns))
		} else if po.Status == stripe.PayoutStatusPaid {
			p = &stripe.PayoutParams{}
			as(&p.Params)
			_, err = w.Payouts.Reverse(po.ID, &stripe.PayoutReverseParams{Params: p.Params})
			w.must(err)
		}
	}
	w.must(it.Err())
	b := &stripe.BalanceParams{}
	as(&b.Params)
	_, err = w.Balance.Get(b)
	w.must(err)
	_, err = w.BankAccounts.Del(banks[2], &stripe.BankAccountParams{Account: stripe.String(seller.ID)})
	w.must(err)
}

// tellKicau sends what Kicau's own client sends: every step of an order's money,
// and what it reads.
func (w *world) tellKicau(base string) {
	k, err := kicau.New(kicau.Options{SecretKey: secretKey, BaseURL: base, Now: w.clock.now, PayURL: w.box.PayURL, Logger: slog.New(slog.DiscardHandler)})
	w.must(err)
	w.Cleanup(k.Close)
	ctx := context.Background()
	shop, err := k.CreateAccount(ctx, "Toko Kopi", "account-key")
	w.must(err)
	id, calls := uuid.New(), 0
	do := func(step steps.Step, e payment.Effect) payment.Outcome {
		calls++
		e.Step, e.Order, e.Key, e.RequestedAt, e.Destination = step, id, fmt.Sprint("key-", calls), w.clock.now(), shop
		if e.Amount == 0 {
			e.Amount = 2500
		}
		e.Currency = "GBP"
		o := k.Perform(ctx, e)
		e.Tries++
		k.Perform(ctx, e) // and looked up
		switch o.(type) {
		case payment.Failed, payment.Unknown:
			w.Errorf("%s: %#v", step, o)
		}
		return o
	}
	held := do(steps.Authorise, payment.Effect{PaymentMethod: "pm_card_visa", KeepCard: true}).(payment.Authorised)
	do(steps.Capture, payment.Effect{Intent: held.Intent, Amount: 2000})
	tr := do(steps.Settle, payment.Effect{Charge: held.Charge, Amount: 1500}).(payment.Transferred)
	do(steps.Reverse, payment.Effect{Transfer: tr.Transfer, Amount: 500})
	do(steps.Refunding, payment.Effect{Intent: held.Intent, Refund: uuid.New(), Amount: 700})
	again := do(steps.Authorise, payment.Effect{PaymentMethod: held.Method, Customer: held.Customer}).(payment.Authorised)
	do(steps.Void, payment.Effect{Intent: again.Intent})
	declined := do(steps.Authorise, payment.Effect{PaymentMethod: "pm_card_visa_chargeDeclined"}).(payment.Declined)
	disputed := do(steps.Authorise, payment.Effect{Intent: declined.Intent, PaymentMethod: "pm_card_createMultipleDisputes"}).(payment.Authorised)
	do(steps.Capture, payment.Effect{Intent: disputed.Intent})
	_, seen := k.Read(ctx, disputed.Intent)
	if len(seen.Disputes) != 2 {
		w.Fatalf("seen: %+v", seen)
	}
	do(steps.Contest, payment.Effect{Dispute: seen.Disputes[0].ID, Evidence: steps.Evidence{Text: "signed for"}})
	do(steps.Accept, payment.Effect{Dispute: seen.Disputes[1].ID})
	do(steps.Authorise, payment.Effect{}) // the buyer types the card
	for _, err := range k.Movements(ctx) {
		w.must(err)
	}
	_, err = k.Balances(ctx)
	w.must(err)
	for _, err := range k.Payouts(ctx) {
		w.must(err)
	}
	for _, err := range k.News(ctx, w.clock.now().Add(-24*60*sixtySeconds)) {
		w.must(err)
	}
}
