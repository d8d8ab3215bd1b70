package stripe_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v76/webhook"

	"kicau/adapters/stripe"
)

const webhookSecret = "whsec_test_secret"

func verifier(t testing.TB, now time.Time) *stripe.Webhook {
	w, err := stripe.NewWebhook(webhookSecret, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func sign(at time.Time, body, secret string) string {
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(webhook.ComputeSignature(at, []byte(body), secret)))
}

// The signature was computed once, by hand, from Stripe's description.
func TestGoldenSignature(t *testing.T) {
	const header = "t=1700000000,v1=8042376f6ca064adbe037642a718227dfd59047137eb49497a54c49eb0cfb724"
	got, err := verifier(t, time.Unix(1700000000, 0)).Verify([]byte(`{"id":"evt_test","object":"event"}`), header)
	if want := (stripe.Notice{ID: "evt_test", Created: time.Unix(0, 0).UTC()}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestNotices(t *testing.T) {
	event := func(kind, data string) string {
		return fmt.Sprintf(`{"id":"evt_1","object":"event","type":%q,"created":1773489600,"livemode":true,"api_version":"2025-03-31.basil","data":{"object":%s}}`, kind, data)
	}
	for _, c := range []struct {
		kind, object string
		want         stripe.Notice
	}{
		{"payment_intent.succeeded", `{"id":"pi_1","object":"payment_intent","status":"succeeded"}`, stripe.Notice{Kind: "payment_intent", Object: "pi_1", Intent: "pi_1"}},
		{"payment_intent.canceled", `{"id":"pi_1","object":"payment_intent","metadata":{"a":1}}`, stripe.Notice{Kind: "payment_intent", Object: "pi_1", Intent: "pi_1"}},
		{"charge.captured", `{"id":"ch_1","object":"charge","payment_intent":"pi_1"}`, stripe.Notice{Kind: "charge", Object: "ch_1", Intent: "pi_1"}},
		{"charge.expired", `{"id":"ch_1","object":"charge","payment_intent":null}`, stripe.Notice{Kind: "charge", Object: "ch_1"}},
		{"charge.refund.updated", `{"id":"re_1","object":"refund","payment_intent":"pi_1","charge":"ch_1"}`, stripe.Notice{Kind: "refund", Object: "re_1", Intent: "pi_1"}},
		{"refund.failed", `{"id":"re_1","object":"refund","payment_intent":null,"charge":"ch_1"}`, stripe.Notice{Kind: "refund", Object: "re_1", Charge: "ch_1"}},
		{"charge.dispute.created", `{"id":"dp_1","object":"dispute","payment_intent":"pi_1","charge":"ch_1"}`, stripe.Notice{Kind: "dispute", Object: "dp_1", Intent: "pi_1"}},
		{"charge.dispute.closed", `{"id":"dp_1","object":"dispute","charge":"ch_1"}`, stripe.Notice{Kind: "dispute", Object: "dp_1", Charge: "ch_1"}},
		{"radar.early_fraud_warning.created", `{"id":"issfr_1","object":"radar.early_fraud_warning","payment_intent":"pi_1","charge":"ch_1"}`,
			stripe.Notice{Kind: "radar.early_fraud_warning", Object: "issfr_1", Intent: "pi_1"}},
		{"radar.early_fraud_warning.created", `{"id":"issfr_1","object":"radar.early_fraud_warning","charge":"ch_1"}`,
			stripe.Notice{Kind: "radar.early_fraud_warning", Object: "issfr_1", Charge: "ch_1"}},
		{"transfer.reversed", `{"id":"tr_1","object":"transfer","source_transaction":"ch_1"}`, stripe.Notice{Kind: "transfer", Object: "tr_1"}},
		{"payout.failed", `{"id":"po_1","object":"payout"}`, stripe.Notice{Kind: "payout", Object: "po_1"}},
		{"charge.updated", `{"id":"ch_1","object":"charge","payment_intent":{"id":"pi_1"}}`, stripe.Notice{Kind: "charge", Object: "ch_1"}},
		{"setup_intent.created", `{"id":"seti_1","object":"setup_intent","payment_intent":"pi_1"}`, stripe.Notice{Kind: "setup_intent", Object: "seti_1"}},
		{"something.new", `{"id":17}`, stripe.Notice{}},
	} {
		body := event(c.kind, c.object)
		got, err := verifier(t, noon).Verify([]byte(body), sign(noon, body, webhookSecret))
		c.want.ID, c.want.Type, c.want.Livemode, c.want.Created = "evt_1", c.kind, true, noon
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", c.kind, err, d)
		}
	}
}

// A notice says the same in every API version, and as often as it comes.
func TestANoticeOfAnyAPIVersionIsTaken(t *testing.T) {
	want := stripe.Notice{ID: "evt_1", Type: "charge.captured", Kind: "charge", Object: "ch_1", Intent: "pi_1", Created: noon}
	for _, version := range []string{`"2023-10-16"`, `"2017-08-15"`, `"2030-01-01.quince"`, `null`} {
		body := fmt.Sprintf(`{"id":"evt_1","object":"event","type":"charge.captured","created":1773489600,"api_version":%s,
			"data":{"object":{"id":"ch_1","object":"charge","payment_intent":"pi_1","amount":"no number any more"}}}`, version)
		for range 2 {
			if got, err := verifier(t, noon).Verify([]byte(body), sign(noon, body, webhookSecret)); err != nil || got != want {
				t.Errorf("version %s: %+v, %v", version, got, err)
			}
		}
	}
}

// A notice of what a request of ours did has the request's key, unless it may say
// more than the request's answer did.
func TestANoticeOfARequestHasItsKey(t *testing.T) {
	for object, want := range map[string]string{
		`{"id":"pi_1","object":"payment_intent"}`:                                       "v1:o:capture:2",
		`{"id":"ch_1","object":"charge","payment_intent":"pi_1"}`:                       "v1:o:capture:2",
		`{"id":"dp_1","object":"dispute","payment_intent":"pi_1"}`:                      "",
		`{"id":"re_1","object":"refund","payment_intent":"pi_1"}`:                       "",
		`{"id":"issfr_1","object":"radar.early_fraud_warning","payment_intent":"pi_1"}`: "",
	} {
		body := fmt.Sprintf(`{"id":"evt_1","object":"event","type":"x","data":{"object":%s},"request":{"id":"req_1","idempotency_key":"v1:o:capture:2"}}`, object)
		got, err := verifier(t, noon).Verify([]byte(body), sign(noon, body, webhookSecret))
		if err != nil || got.Intent != "pi_1" || got.Key != want {
			t.Errorf("%s: %+v, %v", object, got, err)
		}
	}
	for _, request := range []string{`null`, `"req_1"`, `{"id":null,"idempotency_key":null}`} { // nobody's, or of an old version
		body := fmt.Sprintf(`{"id":"evt_1","object":"event","type":"x","data":{"object":{"id":"pi_1","object":"payment_intent"}},"request":%s}`, request)
		if got, err := verifier(t, noon).Verify([]byte(body), sign(noon, body, webhookSecret)); err != nil || got.Intent != "pi_1" || got.Key != "" {
			t.Errorf("request %s: %+v, %v", request, got, err)
		}
	}
}

func TestANoticeOfAConnectedAccountNamesNoIntent(t *testing.T) {
	const body = `{"id":"evt_1","object":"event","type":"charge.captured","account":"acct_shop","data":{"object":{"id":"ch_1","object":"charge","payment_intent":"pi_1"}}}`
	got, err := verifier(t, noon).Verify([]byte(body), sign(noon, body, webhookSecret))
	if err != nil || got.Intent != "" || got.Charge != "" || got.Object != "ch_1" || got.Account != "acct_shop" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNoticesThatAreRefused(t *testing.T) {
	const body = `{"id":"evt_1","object":"event","type":"charge.captured","livemode":false,"data":{"object":{"id":"ch_1","object":"charge","payment_intent":"pi_1"}}}`
	good := sign(noon, body, webhookSecret)
	at := func(d time.Duration) string { return sign(noon.Add(d), body, webhookSecret) }
	v1 := good[strings.Index(good, ",")+1:]
	for _, c := range []struct {
		name, body, header string
		want               error
	}{
		{"good", body, good, nil},
		{"a rolled secret's beside it", body, good + ",v1=" + strings.Repeat("0", 64), nil},
		{"an older scheme's beside it", body, good + ",v0=abc", nil},
		{"300 seconds old", body, at(-stripe.Tolerance), nil},
		{"300 seconds ahead", body, at(stripe.Tolerance), nil},
		{"301 seconds old", body, at(-stripe.Tolerance - time.Second), stripe.ErrNotFresh},
		{"301 seconds ahead", body, at(stripe.Tolerance + time.Second), stripe.ErrNotFresh},
		{"a year ahead", body, at(365 * 24 * time.Hour), stripe.ErrNotFresh},
		{"not signed", body, "", stripe.ErrNotAuthentic},
		{"no header at all", body, "hello", stripe.ErrNotAuthentic},
		{"no timestamp", body, v1, stripe.ErrNotAuthentic},
		{"a timestamp in words", body, "t=now," + v1, stripe.ErrNotAuthentic},
		{"another timestamp", body, "t=" + fmt.Sprint(noon.Unix()+1) + "," + v1, stripe.ErrNotAuthentic},
		{"two timestamps", body, "t=1," + good, stripe.ErrNotAuthentic},
		{"two timestamps, the good one first", body, good + ",t=1", stripe.ErrNotAuthentic},
		{"another secret", body, sign(noon, body, "whsec_other"), stripe.ErrNotAuthentic},
		{"no secret", body, sign(noon, body, ""), stripe.ErrNotAuthentic},
		{"another body", strings.Replace(body, "pi_1", "pi_2", 1), good, stripe.ErrNotAuthentic},
		{"a space more", body + " ", good, stripe.ErrNotAuthentic},
		{"a signature of the old scheme only", body, strings.Replace(good, "v1=", "v0=", 1), stripe.ErrNotAuthentic},
		{"half a signature", body, good[:len(good)-2], stripe.ErrNotAuthentic},
		{"signed nonsense", "nonsense", sign(noon, "nonsense", webhookSecret), stripe.ErrUnreadable},
		{"signed nothing", "null", sign(noon, "null", webhookSecret), stripe.ErrUnreadable},
		{"signed something else", `{"id":"evt_1","object":"v2.core.event"}`, sign(noon, `{"id":"evt_1","object":"v2.core.event"}`, webhookSecret), stripe.ErrUnreadable},
	} {
		n, err := verifier(t, noon).Verify([]byte(c.body), c.header)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if (err == nil) != (n.Intent == "pi_1") {
			t.Errorf("%s: %+v, %v", c.name, n, err)
		}
	}
}

func TestAWebhookNeedsASecret(t *testing.T) {
	for _, secret := range []string{"", " "} {
		if _, err := stripe.NewWebhook(secret, nil); err == nil {
			t.Errorf("a webhook with the secret %q believes everybody", secret)
		}
	}
}

// Nobody gets in without the secret, whatever the header.
func FuzzVerify(f *testing.F) {
	const body = `{"id":"evt_1","object":"event","data":{"object":{"id":"pi_1","object":"payment_intent"}}}`
	f.Add(body, sign(noon, body, "whsec_other"))
	f.Add("null", "t=,v1=,v1")
	f.Add(body, "t=1773489600,t=1773489600,v1=")
	w := verifier(f, noon)
	f.Fuzz(func(t *testing.T, body, header string) {
		if n, err := w.Verify([]byte(body), header); err == nil {
			t.Errorf("%q is taken for %+v", header, n)
		}
		w.Verify([]byte(body), sign(noon, body, webhookSecret)) // and nothing panics once they are in
	})
}
