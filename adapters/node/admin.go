package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// Bounds of a request to a node's administration.
const (
	adminDialTimeout = 10 * time.Second
	// adminAnswerTimeout is how long a node may take to begin its answer: a
	// backup waits for a flush before it has something to send.
	adminAnswerTimeout = time.Minute
)

// Admin asks a node that is being served elsewhere for what its operator needs.
// Its methods may be called from many goroutines.
type Admin struct {
	base           url.URL
	user, password string
	http           *http.Client
}

// NewAdmin prepares to ask the node at rawURL: http:// or https://, or the
// connection string of its clients (esdb://host:port?tls=false), of which tls,
// tlsVerifyCert and tlsCaFile are heeded. A user and a password in it go before
// those given.
func NewAdmin(rawURL, user, password string) (*Admin, error) {
	// What is wrong with an address is said without the password that may be in it.
	const schemes = "address of a node: it does not begin with http://, https:// or esdb://"
	if !strings.Contains(rawURL, "://") {
		return nil, errors.New(schemes)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("address of a node: %w", errors.Unwrap(err))
	}
	a := &Admin{base: url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}, user: user, password: password}
	if u.User != nil {
		a.user = u.User.Username()
		a.password, _ = u.User.Password()
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	switch u.Scheme {
	case "http", "https":
	case "esdb", "kurrentdb":
		if err := a.fromConnectionString(u.Query(), trust); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New(schemes)
	}
	if a.base.Hostname() == "" || strings.Contains(a.base.Host, ",") {
		return nil, fmt.Errorf("address of a node: %q does not name one host", u.Redacted())
	}
	if a.user != "" && a.base.Scheme == "http" && !isLoopbackHost(a.base.Hostname()) {
		return nil, fmt.Errorf("a password is not sent to %s without TLS: use https://, or esdb:// with tls=true", a.base.Host)
	}
	a.http = &http.Client{
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: adminDialTimeout}).DialContext,
			TLSClientConfig:       trust,
			TLSHandshakeTimeout:   adminDialTimeout,
			ResponseHeaderTimeout: adminAnswerTimeout,
			DisableKeepAlives:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return a, nil
}

// fromConnectionString translates what EventStoreDB's clients are given.
func (a *Admin) fromConnectionString(q url.Values, trust *tls.Config) error {
	a.base.Path = ""
	if a.base.Port() == "" {
		a.base.Host = net.JoinHostPort(a.base.Hostname(), strconv.Itoa(defaultPort))
	}
	a.base.Scheme = "https"
	var certificates string
	for key, values := range q {
		value := values[0]
		switch strings.ToLower(key) {
		case "tls":
			if strings.EqualFold(value, "false") {
				a.base.Scheme = "http"
			}
		case "tlsverifycert":
			trust.InsecureSkipVerify = strings.EqualFold(value, "false")
		case "tlscafile":
			certificates = value
		}
	}
	if certificates == "" {
		return nil
	}
	pem, err := os.ReadFile(certificates)
	if err != nil {
		return fmt.Errorf("address of a node: tlsCaFile: %w", err)
	}
	trust.RootCAs = x509.NewCertPool()
	if !trust.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("address of a node: tlsCaFile: %s holds no certificate", certificates)
	}
	return nil
}

// String is where the node is.
func (a *Admin) String() string { return a.base.String() }

// BackUpTo is [Node.BackUpTo] from the node.
func (a *Admin) BackUpTo(ctx context.Context, dir string, progress Progress) (Manifest, error) {
	resp, err := a.ask(ctx, http.MethodGet, "/admin/backup", nil)
	if err != nil {
		return Manifest{}, err
	}
	defer resp.Body.Close()
	m, err := ReceiveBackup(ctx, resp.Body, dir, progress)
	atRest(resp)
	if err != nil {
		if why := resp.Trailer.Get(backupErrorTrailer); why != "" {
			err = fmt.Errorf("%w: the node says: %s", err, why)
		}
	}
	return m, err
}

// Verify is [Node.VerifyAll] on the node.
func (a *Admin) Verify(ctx context.Context, progress Progress) (v Verified, err error) {
	err = a.lines(ctx, http.MethodPost, "/admin/verify", nil, func(l json.RawMessage) error {
		var p progressLine
		err := json.Unmarshal(l, &p)
		progress.tell(p.Unit, p.Done, p.Total)
		return err
	}, &v)
	return v, err
}

// Scavenge is [Node.Scavenge] on the node.
func (a *Admin) Scavenge(ctx context.Context, o ScavengeOptions) (report ScavengeReport, err error) {
	err = a.lines(ctx, http.MethodPost, "/admin/scavenge", scavengeAsked{o.DryRun}, func(l json.RawMessage) error {
		var p ScavengeReport
		if err := json.Unmarshal(l, &p); err != nil {
			return err
		}
		if o.Progress != nil {
			o.Progress(p)
		}
		return nil
	}, &report)
	return report, err
}

// GroupList is [Node.GroupList] of the node.
func (a *Admin) GroupList(ctx context.Context) (all []command.GroupInfo, err error) {
	err = a.lines(ctx, http.MethodGet, "/admin/groups", nil, func(l json.RawMessage) error {
		var g groupLine
		if err := json.Unmarshal(l, &g); err != nil {
			return err
		}
		seen, err := event.ParsePosition(g.Seen)
		all = append(all, command.GroupInfo{Group: command.Group{Stream: g.Stream, Name: g.Group}, Seen: seen, Unsettled: g.Unsettled, Parked: g.Parked, Consumers: g.Consumers})
		return err
	}, nil)
	return all, err
}

// errEnough ends an answer that is not wanted any more.
var errEnough = errors.New("enough")

// Parked yields the parked events of a group, oldest first.
func (a *Admin) Parked(ctx context.Context, g command.Group) iter.Seq2[command.ParkedEvent, error] {
	return func(yield func(command.ParkedEvent, error) bool) {
		path := "/admin/parked?" + url.Values{"stream": {g.Stream}, "group": {g.Name}}.Encode()
		err := a.lines(ctx, http.MethodGet, path, nil, func(l json.RawMessage) error {
			var p parkedLine
			if err := json.Unmarshal(l, &p); err != nil {
				return err
			}
			parked, err := p.parked()
			if err == nil && !yield(parked, nil) {
				err = errEnough
			}
			return err
		}, nil)
		if err != nil && !errors.Is(err, errEnough) {
			yield(command.ParkedEvent{}, err)
		}
	}
}

// ReplayParked delivers parked events again, all when no number is given.
func (a *Admin) ReplayParked(ctx context.Context, g command.Group, numbers ...uint64) error {
	return a.lines(ctx, http.MethodPost, "/admin/parked/replay", selection{g.Stream, g.Name, numbers, len(numbers) == 0}, nil, nil)
}

// DropParked forgets parked events.
func (a *Admin) DropParked(ctx context.Context, g command.Group, numbers ...uint64) error {
	return a.lines(ctx, http.MethodPost, "/admin/parked/drop", selection{g.Stream, g.Name, numbers, false}, nil, nil)
}

// ask sends a request and returns an answer that is not an error.
func (a *Admin) ask(ctx context.Context, method, path string, body any) (*http.Response, error) {
	b := &bytes.Buffer{}
	if body != nil {
		if err := json.NewEncoder(b).Encode(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base.String()+path, b)
	if err != nil {
		return nil, err
	}
	if a.user != "" {
		req.SetBasicAuth(a.user, a.password)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the node: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, a.refused(resp)
}

func (a *Admin) refused(resp *http.Response) error {
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminBody))
	if err != nil {
		return fmt.Errorf("the node at %s answered %s: %w", a, resp.Status, err)
	}
	var l answerLine
	switch {
	case json.Unmarshal(said, &l) == nil && l.Error != nil:
		return l.Error.known()
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("there is no kicau node at %s, or one that is too old to be asked", a)
	case resp.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("the node at %s wants a user and a password: %s", a, strings.TrimSpace(string(said)))
	default:
		return fmt.Errorf("the node at %s answered %s: %s", a, resp.Status, strings.TrimSpace(string(said)))
	}
}

// atRest waits for the end of an answer of which all was read that matters: then
// the node has let go of what it did, and the trailers are there.
func atRest(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAdminBody)) // who breaks off has nothing to add
}

// answerLine is a [line] that was received.
type answerLine struct {
	Progress json.RawMessage `json:"progress"`
	Item     json.RawMessage `json:"item"`
	Result   json.RawMessage `json:"result"`
	Error    *adminError     `json:"error"`
}

// known makes the error one that errors.Is knows again.
func (e *adminError) known() error {
	for _, k := range adminKinds {
		if k.kind == e.Kind {
			return &answeredError{k.err, e.Reason}
		}
	}
	return errors.New(e.Reason)
}

// answeredError is an error of the node in its own words.
type answeredError struct {
	err    error
	reason string
}

func (e *answeredError) Error() string { return e.reason }
func (e *answeredError) Unwrap() error { return e.err }

// lines asks, hands over the lines of the answer that come before its result,
// and reads that. An answer without a result was cut off.
func (a *Admin) lines(ctx context.Context, method, path string, body any, each func(json.RawMessage) error, result any) error {
	resp, err := a.ask(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	in := json.NewDecoder(resp.Body)
	for {
		var l answerLine
		err := in.Decode(&l)
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the node's answer was cut off: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return fmt.Errorf("the node's answer was cut off: %w", err)
		case l.Error != nil:
			return l.Error.known()
		case l.Result != nil:
			atRest(resp)
			if result == nil {
				return nil
			}
			return json.Unmarshal(l.Result, result)
		case each != nil && l.Progress != nil:
			err = each(l.Progress)
		case each != nil && l.Item != nil:
			err = each(l.Item)
		}
		if err != nil {
			return err
		}
	}
}
