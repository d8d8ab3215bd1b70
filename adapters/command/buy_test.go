package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/vault"
	"kicau/domain/buyer"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// keys is where personal data can be opened again.
func (s *scene) keys() *vault.Vault {
	s.Helper()
	v, err := vault.Open(filepath.Join(s.TempDir(), "vault"))
	s.ok(err)
	return v
}

var annotated = privacy.Contact{Name: "Ann Quillfeather", Email: "ann.q@example.org", Address: "7 Thistlewood Lane, Ambridge", Handle: "@quillann"}

// fills in what a reader of the tweet does, with something changed.
func fillsIn(change ...func(*command.Purchase)) command.Purchase {
	p := command.Purchase{Order: bought, Contact: annotated, Jurisdiction: "GB", PaymentMethod: "pm_card_visa",
		Lines: []command.Line{{Offer: mugs, Quantity: 1}}}
	for _, c := range change {
		c(&p)
	}
	return p
}

func (s *scene) buyers() (all []string) {
	s.Helper()
	for _, rec := range s.all() {
		if rec.Type == (buyer.Registered{}).EventType() {
			all = append(all, rec.Stream)
		}
	}
	return all
}

// What is personal is in the log as ciphertext alone, and only the vault opens it.
func TestBoughtWithoutAName(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.open(10)
		v := s.keys()
		_, err := s.kicau.Buy(s.Context(), v, by(1), fillsIn())
		s.ok(err)

		placed := s.events(order.Stream(bought))[0].Body.(order.Placed)
		plain, err := v.Open(*placed.Contact, privacy.Place(order.Stream(bought), "contact"))
		s.ok(err)
		var contact privacy.Contact
		s.ok(json.Unmarshal(plain, &contact))
		if contact != annotated {
			t.Errorf("opened %+v", contact)
		}
		if placed.Contact.Subject != placed.Buyer || !strings.HasSuffix(s.buyers()[0], placed.Buyer.String()) {
			t.Errorf("sealed for %s, bought by %s, registered %v", placed.Contact.Subject, placed.Buyer, s.buyers())
		}

		personal := []string{"quillfeather", "ann.q", "example.org", "thistlewood", "ambridge", "quillann"}
		files := s.files()
		if !bytes.Contains(files, []byte("mug")) {
			t.Fatal("not even the offer can be read in the files of the log: these are the wrong ones")
		}
		for _, word := range personal {
			if bytes.Contains(files, []byte(word)) {
				t.Errorf("%q can be read in the files of the log", word)
			}
		}
		for _, rec := range s.all() {
			for _, word := range personal {
				if bytes.Contains(bytes.ToLower(append(rec.Data, rec.Metadata...)), []byte(word)) {
					t.Errorf("%q can be read in %s", word, rec.Type)
				}
			}
		}
	})
}

// files of the log, all their bytes in lower case.
func (s *scene) files() []byte {
	s.Helper()
	var all []byte
	s.ok(filepath.WalkDir(s.dir, func(path string, f fs.DirEntry, err error) error {
		if err != nil || f.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, bytes.ToLower(b)...)
		return err
	}))
	return all
}

func TestRefusedBeforeItIsAnOrder(t *testing.T) {
	card := "4242 4242-4242 4242"
	for name, c := range map[string]struct {
		change func(*command.Purchase)
		want   *refusal.Refusal
		field  string
	}{
		"no name":                {func(p *command.Purchase) { p.Contact.Name = " " }, command.ErrNoName, "name"},
		"no address":             {func(p *command.Purchase) { p.Contact.Address = "" }, command.ErrNoAddress, "address"},
		"nobody":                 {func(p *command.Purchase) { p.Contact.Email, p.Contact.Handle = "", "\t" }, command.ErrNoIdentity, "email"},
		"a long name":            {func(p *command.Purchase) { p.Contact.Name = strings.Repeat("n", command.MaxText+1) }, command.ErrTooLong, "name"},
		"a long address":         {func(p *command.Purchase) { p.Contact.Address = strings.Repeat("n", command.MaxText+1) }, command.ErrTooLong, "address"},
		"a card as name":         {func(p *command.Purchase) { p.Contact.Name = "Ann " + card }, privacy.ErrCardNumber, "name"},
		"a card as address":      {func(p *command.Purchase) { p.Contact.Address += " (" + card + ")" }, privacy.ErrCardNumber, "address"},
		"a card as e-mail":       {func(p *command.Purchase) { p.Contact.Email = "4242424242424242@example.org" }, privacy.ErrCardNumber, "email"},
		"a card as handle":       {func(p *command.Purchase) { p.Contact.Handle = "@4242424242424242" }, privacy.ErrCardNumber, "handle"},
		"a card as its token":    {func(p *command.Purchase) { p.PaymentMethod = card }, privacy.ErrCardNumber, "paymentMethod"},
		"a card as jurisdiction": {func(p *command.Purchase) { p.Jurisdiction = card }, privacy.ErrCardNumber, "jurisdiction"},
		"more than there is":     {func(p *command.Purchase) { p.Lines[0].Quantity = 11 }, offer.ErrSoldOut, "quantity"},
		"what nobody offers":     {func(p *command.Purchase) { p.Lines[0].Offer = id(9) }, offer.ErrNotTweeted, "lines[0].offer"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.open(10)
				s.writesNothing(func() {
					_, err := s.kicau.Buy(s.Context(), s.keys(), by(1), fillsIn(c.change))
					s.wants(err, c.want)
					if no := refusal.From(err); no.Field != c.field {
						t.Errorf("the refusal is about %q, want %q", no.Field, c.field)
					}
					if strings.Contains(err.Error(), "4242") {
						t.Errorf("the refusal repeats the card number: %v", err)
					}
				})
			})
		})
	}
	t.Run("as long as may be", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			_, err := s.kicau.Buy(s.Context(), s.keys(), by(1), fillsIn(func(p *command.Purchase) {
				p.Contact.Address = " " + strings.Repeat("n", command.MaxText) + " "
			}))
			s.ok(err)
		})
	})
}

func TestWhoBoughtIsABuyerOnce(t *testing.T) {
	again := func(n int, change func(*privacy.Contact)) command.Purchase {
		return fillsIn(func(p *command.Purchase) {
			p.Order = id(n)
			change(&p.Contact)
		})
	}
	play(t, func(t *testing.T, s *scene) {
		s.open(10)
		v := s.keys()
		for n, change := range []func(*privacy.Contact){
			func(*privacy.Contact) {},
			func(c *privacy.Contact) { c.Email = "  Ann.Q@Example.ORG " },
			func(c *privacy.Contact) { c.Name, c.Handle, c.Address = "A. Quillfeather", "", "elsewhere" },
		} {
			_, err := s.kicau.Buy(s.Context(), v, by(n), again(n, change))
			s.ok(err)
		}
		if who := s.buyers(); len(who) != 1 {
			t.Errorf("registered: %v", who)
		}
		_, err := s.kicau.Buy(s.Context(), v, by(5), again(5, func(c *privacy.Contact) { c.Email = "" }))
		s.ok(err)
		if who := s.buyers(); len(who) != 2 || who[0] == who[1] {
			t.Errorf("known by a handle alone it is somebody else; registered: %v", who)
		}
	})
}

func TestTheSamePurchaseAgain(t *testing.T) {
	t.Run("decides nothing, although it was sealed anew", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			v := s.keys()
			_, err := s.kicau.Buy(s.Context(), v, by(1), fillsIn())
			s.ok(err)
			s.writesNothing(func() {
				_, err := s.kicau.Buy(s.Context(), v, by(1), fillsIn())
				s.ok(err)
			})
		})
	})
	t.Run("after a death between order and buyer", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			v := s.keys()
			ctx, die := context.WithCancel(s.Context())
			s.wire.meet(fine, after(die)) // mugs, order
			_, err := s.kicau.Buy(ctx, v, by(1), fillsIn())
			s.wants(err, context.Canceled)
			s.happened(order.Stream(bought), order.Placed{})
			if who := s.buyers(); len(who) != 0 {
				t.Fatalf("registered: %v", who)
			}
			_, err = s.process().Buy(s.Context(), v, by(1), fillsIn())
			s.ok(err)
			if who := s.buyers(); len(who) != 1 {
				t.Errorf("registered: %v", who)
			}
		})
	})
}

// Whoever was erased is not brought back by buying.
func TestAnErasedBuyerBuys(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.open(10)
		v := s.keys()
		_, err := s.kicau.Buy(s.Context(), v, by(1), fillsIn())
		s.ok(err)
		s.ok(v.Destroy(s.events(order.Stream(bought))[0].Body.(order.Placed).Buyer))
		s.writesNothing(func() {
			_, err := s.kicau.Buy(s.Context(), v, by(2), fillsIn(func(p *command.Purchase) { p.Order = uuid.Max }))
			s.wants(err, vault.ErrErased)
		})
	})
}
