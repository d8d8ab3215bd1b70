// Kicau buys straight from a tweet: one binary with everything, see --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // refused, or something broke
	exitUsage  = 2 // the command line is wrong
)

// Global flags: the same words as a flag or as KICAU_… in the environment.
type Global struct {
	Data       string           `help:"Directory of everything this command keeps." default:"./kicau-data" env:"KICAU_DATA" type:"path" placeholder:"DIR"`
	EventStore string           `name:"eventstore" help:"Use this EventStoreDB instead of the embedded one, such as esdb://127.0.0.1:2113?tls=false." env:"KICAU_EVENTSTORE" placeholder:"URL"`
	StripeKey  string           `help:"Secret key of a Stripe account. Without one, the built-in sandbox takes the payments." env:"KICAU_STRIPE_KEY" placeholder:"sk_…"`
	WebhookKey string           `name:"stripe-webhook-secret" help:"Signing secret of the Stripe webhook endpoint." env:"KICAU_STRIPE_WEBHOOK_SECRET" placeholder:"whsec_…"`
	Output     string           `short:"o" help:"text or json (one object, or one a line)." enum:"text,json" default:"text" env:"KICAU_OUTPUT"`
	Verbose    bool             `short:"v" help:"Say what goes on behind the scenes."`
	Version    kong.VersionFlag `help:"Print the version."`

	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

func (g *Global) json() bool { return g.Output == "json" }

// CLI is every command.
type CLI struct {
	Global

	Serve      serveCmd         `cmd:"" help:"Run everything: event store, read models, payment saga, pages and API."`
	Node       nodeCmd          `cmd:"" help:"Run the event store alone; keep its users; verify it, back it up, restore it."`
	Demo       demoCmd          `cmd:"" help:"Play the whole story in a fresh directory: tweet, buy, pay, ship, settle."`
	Import     importCmd        `cmd:"" help:"Import a history of orders as events."`
	Shop       shopCmd          `cmd:"" help:"Onboard a shop, change its fees, show it."`
	Offer      offerCmd         `cmd:"" help:"Tweet an offer, reprice, restock, withdraw, show it."`
	Buy        buyCmd           `cmd:"" help:"Buy from a tweet."`
	Pay        payCmd           `cmd:"" help:"Pay a declined order with another card."`
	Ship       shipCmd          `cmd:"" help:"Ship an order, whole or in part; what is shipped is captured."`
	Delivered  deliveredCmd     `cmd:"" help:"Say that the goods of an order arrived."`
	Cancel     cancelCmd        `cmd:"" help:"Cancel an order that was not shipped."`
	Refund     refundCmd        `cmd:"" help:"Give money back, for units, as an amount, or all that is left."`
	Dispute    disputeCmd       `cmd:"" help:"What buyers' banks ask back: list, answer, concede."`
	Timeline   timelineCmd      `cmd:"" help:"Offers as readers see them, newest first."`
	Orders     ordersCmd        `cmd:"" help:"Orders with their state and money."`
	Settlement settlementCmd    `cmd:"" help:"The books: balances of all accounts and the trial balance."`
	Reconcile  reconcileCmd     `cmd:"" help:"Compare the books with the payment processor, to the minor unit."`
	Webhook    webhookCmd       `cmd:"" help:"Where Stripe sends its news: register it, list it."`
	Events     eventsCmd        `cmd:"" help:"What the log says, event by event."`
	Parked     parkedCmd        `cmd:"" help:"Events that a persistent subscription gave up: list, show, replay, drop."`
	Sandbox    stripeSandboxCmd `cmd:"" name:"stripe-sandbox" help:"Run Stripe without Stripe: its API, stateful, with test cards, webhooks, a clock and faults."`
	Replay     replayCmd        `cmd:"" help:"Rebuild read models from the log, or verify them against it."`
	Sim        simCmd           `cmd:"" help:"Simulate shops, buyers and everything that goes wrong, from a seed."`
}

// How the garbage collector works, unless GOGC and GOMEMLIMIT say otherwise.
const (
	// garbage is how much may lie about beside what is used, in percent of it: at
	// Go's 100 an order takes a tenth more of the processor.
	garbage = 200
	// softMemory is where the collector begins to work harder all the same, in
	// bytes. A bulk import stays below 1 GiB with it.
	softMemory = 500 << 20
)

func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
}

func main() {
	collectLess()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// usageError is a wrong command line that only the command itself can see.
type usageError struct{ error }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	for _, a := range args {
		// Before anything can print or log it.
		if err := privacy.RefuseCardNumber("", a); err != nil {
			early := &Global{stderr: stderr, Output: outputAsked(args)}
			return early.report(err)
		}
	}
	var cli CLI
	cli.stdin, cli.stdout, cli.stderr = stdin, stdout, stderr
	exited := -1
	parser, err := kong.New(&cli, kong.Name("kicau"),
		kong.Description("Buying straight from a tweet, on an event-sourced log.\n\nStart with: kicau demo"),
		kong.Writers(stdout, stderr), kong.Exit(func(c int) { exited = c }), kong.Bind(&cli.Global),
		kong.TypeMapper(reflect.TypeFor[time.Time](), kong.MapperFunc(readTime)),
		kong.Vars{"version": version()}, kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		fmt.Fprintln(stderr, "kicau:", err)
		return exitFailed
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help and --version have spoken
	}
	if err != nil {
		fmt.Fprintf(stderr, "kicau: %v\nTry: kicau --help\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	k.BindTo(ctx, (*context.Context)(nil))
	return cli.report(k.Run())
}

// readTime reads a flag that takes a time.
func readTime(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("time", &text); err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("%q is not a time: write it like 2026-12-01T18:00:00Z", text)
	}
	target.Set(reflect.ValueOf(t))
	return nil
}

// outputAsked finds the output format before the command line is parsed.
func outputAsked(args []string) string {
	asked := os.Getenv("KICAU_OUTPUT")
	for i, a := range args {
		switch {
		case (a == "-o" || a == "--output") && i+1 < len(args):
			asked = args[i+1]
		case strings.HasPrefix(a, "--output="):
			asked = strings.TrimPrefix(a, "--output=")
		}
	}
	return asked
}

// report says what went wrong and how it counts.
func (g *Global) report(err error) int {
	var usage usageError
	isUsage := errors.As(err, &usage)
	no := refusal.From(err)
	switch {
	case err == nil:
		return exitDone
	case g.json() && no != nil:
		_ = writeJSON(g.stderr, map[string]any{"error": no})
	case g.json() && isUsage:
		_ = writeJSON(g.stderr, map[string]any{"error": map[string]string{"kind": "usage", "reason": err.Error()}})
	case g.json():
		_ = writeJSON(g.stderr, map[string]any{"error": map[string]string{"kind": "failed", "reason": err.Error()}})
	case isUsage:
		fmt.Fprintf(g.stderr, "kicau: %v\nTry: kicau --help\n", err)
	default:
		fmt.Fprintln(g.stderr, "kicau:", err)
	}
	if isUsage {
		return exitUsage
	}
	return exitFailed
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}
