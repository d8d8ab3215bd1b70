//go:build browser

package web_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"kicau/domain/offer"
	"kicau/domain/shop"
)

// A real browser, Debian's chromium, that runs no JavaScript:
//
//	go test -tags browser -run Browser ./adapters/web
//
// With KICAU_SCREENSHOTS naming a folder, it leaves pictures of the pages there.

// browser opens one with a window of a size. Scripts of pages do not run in it.
func browser(t *testing.T, width, height int64) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU)
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	// Not the test's context: it ends before the browser can be closed in order.
	ctx, stop := context.WithTimeout(context.Background(), 3*patience) // of the browser's life
	t.Cleanup(stop)
	ctx, stop = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() { chromedp.Cancel(ctx) })
	scale := 1.0
	if width < 600 {
		scale = 2
	}
	check(t, chromedp.Do(ctx, chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale))))
	_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	check(t, err)
	return ctx
}

type action = chromedp.Action[chromedp.Void]

// do one thing after the other.
func do(t *testing.T, ctx context.Context, actions ...action) {
	t.Helper()
	for i, a := range actions {
		bounded, cancel := context.WithTimeout(ctx, patience)
		err := chromedp.Do(bounded, a)
		cancel()
		if err != nil {
			at, _ := chromedp.Run(ctx, chromedp.Location())
			page, _ := chromedp.Run(ctx, chromedp.OuterHTML(chromedp.CSS("html")))
			t.Fatalf("step %d: %v, at %s:\n%s", i+1, err, at, page)
		}
	}
}

// picture of the page as it is.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("KICAU_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}

// see waits until the page shows a text.
func see(text string) action {
	return chromedp.WaitVisible(fmt.Sprintf("//body//*[text()[contains(., %q)]]", text))
}

func click(text string) action {
	return chromedp.Click(fmt.Sprintf("//a[text()[contains(., %[1]q)]] | //button[text()[contains(., %[1]q)]]", text))
}

// fill fields, names and what is typed in turn.
func fill(fields ...string) action {
	var all []action
	for i := 0; i < len(fields); i += 2 {
		all = append(all, chromedp.SendKeys(chromedp.CSS(`[name="`+fields[i]+`"]`), fields[i+1]))
	}
	return chromedp.Steps(all...)
}

func TestBrowserBuysFromATweet(t *testing.T) {
	s := start(t)
	mug := s.feed()
	for name, size := range map[string][2]int64{"phone": {390, 844}, "desktop": {1280, 900}} {
		t.Run(name, func(t *testing.T) {
			ctx := browser(t, size[0], size[1])
			do(t, ctx, chromedp.Navigate(s.url+"/"), see("Kopi tubruk set"))
			picture(t, ctx, name+"-1-timeline")
			do(t, ctx, click("Kopi tubruk set"), see("Goes with it"))
			picture(t, ctx, name+"-2-offer")
			do(t, ctx, click("Buy"), see("Continue to payment"), fill("name", "Siti Rahma", "email", "siti@example.org", "address", "1 Some Street\nLeeds"))
			picture(t, ctx, name+"-3-checkout")
			// The browser itself holds the form back until a destination is chosen.
			do(t, ctx, fill("jurisdiction", "GB"), click("Continue to payment"), see("Pay with a test card"))
			picture(t, ctx, name+"-4-card")
			do(t, ctx, fill("number", "4242424242424242", "expiry", "12/40", "cvc", "123"), click("Pay"), see("Order confirmed"), see("authorised"))
			picture(t, ctx, name+"-5-order")
			at, err := chromedp.Run(ctx, chromedp.Location())
			check(t, err)
			if !strings.HasPrefix(at, s.url+"/orders/") || strings.Contains(at, "secret") {
				t.Errorf("the buyer ends at %s", at)
			}
		})
	}
	if left := s.get("/v1/offers/"+mug.String()).json(t, "left"); left != 2.0 {
		t.Errorf("%v are left, wanted 2", left)
	}
}

func TestBrowserIsDeclined(t *testing.T) {
	s := start(t)
	s.feed()
	ctx := browser(t, 390, 844)
	do(t, ctx, chromedp.Navigate(s.url+"/"), click("Buy"), see("Continue to payment"), click("Continue to payment"), // held back: nothing is typed
		fill("name", "Siti", "email", "siti@example.org", "address", "1 Some Street", "jurisdiction", "Somewhere"), click("Continue to payment"),
		see("Pay with a test card"), fill("number", "4000000000000002", "expiry", "12/40", "cvc", "123"), click("Pay"),
		see("Payment declined"))
	picture(t, ctx, "phone-6-declined")
	do(t, ctx, click("Back to the offer"), see("Goes with it"))
}

// The bank's challenge comes in between, and a card number in the wrong field
// does not leave the form.
func TestBrowserAuthenticates(t *testing.T) {
	s := start(t)
	mug := s.feed()
	ctx := browser(t, 1280, 900)
	do(t, ctx, chromedp.Navigate(s.url+"/offers/"+mug.String()+"/checkout"),
		fill("name", "4242424242424242", "email", "siti@example.org", "address", "1 Some Street", "jurisdiction", "GB"), click("Continue to payment"),
		see("looked like a card number"))
	picture(t, ctx, "desktop-7-wrong")
	do(t, ctx, fill("name", "Siti"), click("Continue to payment"),
		see("Pay with a test card"), fill("number", "4000002760003184", "expiry", "12/40", "cvc", "123"), click("Pay"),
		see("Is this you?"), click("Complete authentication"), see("Order confirmed"))
	do(t, ctx, chromedp.Navigate(s.url+"/offers/"+uuid.NewString()), see("does not exist"))
	picture(t, ctx, "desktop-8-missing")
}

// feed tweets what a shop of some life has: photos, none, scarce and sold out.
func (s *stack) feed() uuid.UUID {
	s.t.Helper()
	saucer := s.tweet("Hand-thrown saucer", 900)
	sold := s.tweet("Indigo table runner, 180 cm, washed and ready to use every day", 4800, stock(0), func(o *offer.Tweeted) {
		o.Tweet = "The last ones of this year's indigo bath. Thank you all. ❤"
	})
	s.shop = s.onboard("Kopi Kita", 0)
	beans := s.tweet("Gayo beans, 250 g", 1150, func(o *offer.Tweeted) {
		o.Tweet = "New harvest from Gayo, roasted this morning.\nNotes of cacao and orange peel. Ships on Tuesdays."
	})
	s.shop = s.onboard("Batik Rumah", 350, shop.Tax{Jurisdiction: "GB", BasisPoints: 2000})
	return s.tweet("Kopi tubruk set", 3450, stock(4), func(o *offer.Tweeted) {
		o.Tweet = "A pot, two cups, and the mornings that come with them. Made by hand in Yogyakarta, one at a time. 🐦☕"
		o.Description = "Stoneware, 600 ml. Dishwasher safe."
		o.LimitPerBuyer = 3
		o.Related = []uuid.UUID{saucer, sold, beans}
	})
}
