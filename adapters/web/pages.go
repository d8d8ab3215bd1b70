package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"net/http"
	"net/url"

	"kicau/domain/money"
)

//go:embed pages
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{"money": money.Format}).ParseFS(files, "pages/*.html"))

// offersOnPage is a page of the timeline.
const offersOnPage = 20

// page is what every page shows around its own.
type page struct {
	Title   string
	Sandbox bool
	Style   string // address of the style sheet
	Refresh int    // seconds until the page is asked for again; 0: never
	Body    any
}

// style names the style sheet by what is in it, so that it may be kept for ever.
var style = func() string {
	css, err := files.ReadFile("pages/style.css")
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(css)
	return "/style.css?v=" + hex.EncodeToString(sum[:6])
}()

func (s *Server) page(w http.ResponseWriter, status int, name string, p page) {
	p.Sandbox, p.Style = s.o.Sandbox, style
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, p); err != nil {
		panic("web: page " + name + ": " + err.Error()) // a defect
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

func (s *Server) asset(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Has("v") {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeFileFS(w, r, files, "pages"+r.URL.Path)
	return nil
}

func (s *Server) showTimeline(w http.ResponseWriter, r *http.Request) error {
	after := r.URL.Query().Get("after")
	rows, next, err := s.newest(r.Context(), after, offersOnPage)
	if err != nil {
		return err
	}
	body := struct {
		Offers  []shownOffer
		Older   string
		Further bool // not the first page
	}{Further: after != ""}
	if next != "" {
		body.Older = "/?" + url.Values{"after": {next}}.Encode()
	}
	for _, row := range rows {
		body.Offers = append(body.Offers, showing(row, s.o.Now()))
	}
	s.page(w, http.StatusOK, "timeline.html", page{Title: "Timeline", Body: body})
	return nil
}

func (s *Server) showOffer(w http.ResponseWriter, r *http.Request) error {
	row, err := s.offerIn(r)
	if err != nil {
		return err
	}
	others, err := s.related(r.Context(), row)
	if err != nil {
		return err
	}
	body := struct {
		Offer   shownOffer
		Related []shownOffer
	}{Offer: showing(row, s.o.Now())}
	for _, other := range others {
		body.Related = append(body.Related, showing(other, s.o.Now()))
	}
	s.page(w, http.StatusOK, "offer.html", page{Title: row.Title, Body: body})
	return nil
}

func (s *Server) showOrder(w http.ResponseWriter, r *http.Request) error {
	row, _, err := s.orderIn(r)
	if err != nil {
		return err
	}
	o := showingOrder(row)
	s.page(w, http.StatusOK, "order.html", page{Title: o.Headline, Refresh: refreshAfter(row, s.o.Now()), Body: o})
	return nil
}

// pay sends the buyer on to the processor's page.
func (s *Server) pay(w http.ResponseWriter, r *http.Request) error {
	row, id, err := s.orderIn(r)
	if err != nil {
		return err
	}
	if row.Payable() {
		page, err := s.payURL(r.Context(), site(r), row)
		if err == nil {
			http.Redirect(w, r, page, http.StatusSeeOther)
			return nil
		}
		// Perhaps it was paid in another window, and there is nothing left to do.
		after, looked := s.lookAt(r.Context(), id, row)
		if looked != nil || after.Payable() {
			s.o.Logger.Warn("web: the processor's page is not known", "order", id, "error", errors.Join(err, looked))
			return errNoPayPage
		}
	}
	http.Redirect(w, r, "/orders/"+id.String(), http.StatusSeeOther)
	return nil
}

var errNoPayPage = &problem{Status: http.StatusServiceUnavailable, Code: "payment-page", Subject: "the payment page", Reason: "cannot be reached right now",
	Remedy: "your order stands, and nothing was charged: try again in a moment"}

// comeBack is where the processor's page sends the buyer. What came of it is
// asked for rather than waited for; and what the processor put into the address
// goes no further.
func (s *Server) comeBack(w http.ResponseWriter, r *http.Request) error {
	row, id, err := s.orderIn(r)
	if err != nil {
		return err
	}
	if row.Payable() {
		if _, err := s.lookAt(r.Context(), id, row); err != nil {
			s.o.Logger.Warn("web: what became of a payment is not known yet", "order", id, "error", err)
		}
	}
	http.Redirect(w, r, "/orders/"+id.String(), http.StatusSeeOther)
	return nil
}
