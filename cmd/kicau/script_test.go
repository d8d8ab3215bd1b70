package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kicau": main})
}

// TestScripts runs the command line as people type it, those that must fail
// too.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await":   await,
			"jsonenv": jsonenv,
			"lines":   lines,
			"until":   until,
			"kill9":   kill9,
			"cert":    cert,
			"fetch":   fetch,
			"stripe":  stripeCall,
			"user":    user,
			"bare":    bare,
			"flip":    flip,
		},
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars,
				"SHOP=5a3c0001-0000-4000-8000-000000000001", "OTHER=5a3c0001-0000-4000-8000-000000000002",
				"GAYO=0ffe0001-0000-4000-8000-000000000001", "DROP=0ffe0001-0000-4000-8000-000000000002", "MUG=0ffe0001-0000-4000-8000-000000000003",
				"ORDER=0bde0001-0000-4000-8000-000000000001", "SECOND=0bde0001-0000-4000-8000-000000000002", "THIRD=0bde0001-0000-4000-8000-000000000003",
				"REFUND=0ef00001-0000-4000-8000-000000000001", "YEAR="+time.Now().UTC().Format("2006"))
			return nil
		},
	})
}

// await a file that another process writes when it is ready.
func await(ts *testscript.TestScript, neg bool, args []string) {
	for range 600 {
		if _, err := os.Stat(ts.MkAbs(args[0])); (err == nil) != neg {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s did not come (or go) within 30 s", args[0])
}

// jsonenv sets a variable to a field of a JSON file, or to one below a field:
// jsonenv VAR FILE FIELD[.FIELD…].
func jsonenv(ts *testscript.TestScript, neg bool, args []string) {
	var object map[string]any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[1])), &object); err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	path := strings.Split(args[2], ".")
	for _, field := range path[:len(path)-1] {
		object, _ = object[field].(map[string]any)
	}
	ts.Setenv(args[0], fmt.Sprint(object[path[len(path)-1]]))
}

// lines counts those of the last output that hold a text: lines N TEXT.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	n := 0
	for l := range strings.Lines(ts.ReadFile("stdout")) {
		if strings.Contains(l, args[1]) {
			n++
		}
	}
	if fmt.Sprint(n) != args[0] {
		ts.Fatalf("%d lines of the output hold %q, want %s", n, args[1], args[0])
	}
}

// until runs a command again and again until what it prints holds a text, which
// something in the background is to bring about: until TEXT COMMAND ARG....
func until(ts *testscript.TestScript, neg bool, args []string) {
	said := ""
	for range 300 {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if said = ts.ReadFile("stdout"); strings.Contains(said, args[0]) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%q did not come within 15 s; the last output was\n%s", args[0], said)
}

// kill9 kills the script's only background command and waits until it is gone.
func kill9(ts *testscript.TestScript, neg bool, args []string) {
	p := ts.BackgroundCmds()[0].Process
	ts.Check(p.Kill())
	for p.Signal(syscall.Signal(0)) == nil {
		time.Sleep(5 * time.Millisecond)
	}
}

// cert makes a certificate of its own authority for this machine: cert CERT KEY.
func cert(ts *testscript.TestScript, neg bool, args []string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kicau test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	ts.Check(err)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}

// fetch asks an event store over HTTP and prints the answer: fetch STATUS URL
// PATH. The URL is a connection string, with or without a user.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	u, err := url.Parse(args[1])
	ts.Check(err)
	u.Scheme = "http"
	if u.Query().Get("tls") == "true" {
		u.Scheme = "https"
	}
	u.Path, u.RawQuery = args[2], ""
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	resp, err := client.Get(u.String())
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	if fmt.Sprint(resp.StatusCode) != args[0] {
		ts.Fatalf("GET %s: %s, want %s", args[2], resp.Status, args[0])
	}
}

// user sets a variable to a connection string with another user: user VAR URL
// NAME PASSWORD OPTION.
func user(ts *testscript.TestScript, neg bool, args []string) {
	u, err := url.Parse(args[1])
	ts.Check(err)
	u.User = url.UserPassword(args[2], args[3])
	u.RawQuery = "tls=" + u.Query().Get("tls") + "&" + args[4]
	ts.Setenv(args[0], u.String())
}

// flip changes a bit in the middle of the first file that a pattern names.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("there is no %s", args[0])
	}
	b, err := os.ReadFile(files[0])
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.WriteFile(files[0], b, 0o600))
}

// bare sets a variable to a connection string without its user: bare VAR URL.
func bare(ts *testscript.TestScript, neg bool, args []string) {
	u, err := url.Parse(args[1])
	ts.Check(err)
	u.User = nil
	ts.Setenv(args[0], u.String())
}

// stripeCall sends a request to a Stripe API and prints the answer: stripe STATUS
// METHOD URL PATH [PARAM=VALUE…]. Stripe-Account=acct_… is a header.
func stripeCall(ts *testscript.TestScript, neg bool, args []string) {
	form, account := url.Values{}, ""
	for _, a := range args[4:] {
		if name, value, _ := strings.Cut(a, "="); name == "Stripe-Account" {
			account = value
		} else {
			form.Add(name, value)
		}
	}
	req, err := http.NewRequest(args[1], args[2]+args[3], strings.NewReader(form.Encode()))
	ts.Check(err)
	req.SetBasicAuth("sk_test_kicau_sandbox", "")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Stripe-Account", account)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", body)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), body, 0o600))
	if fmt.Sprint(resp.StatusCode) != args[0] {
		ts.Fatalf("%s %s: %s, want %s: %s", args[1], args[3], resp.Status, args[0], body)
	}
}
