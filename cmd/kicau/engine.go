package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/messaging"
	"kicau/adapters/node"
	"kicau/adapters/react"
	"kicau/adapters/sandbox"
	"kicau/adapters/stripe"
	"kicau/adapters/web"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/projections"
	"kicau/projections/deadline"
	"kicau/projections/order"
	"kicau/projections/payout"
	"kicau/projections/settlement"
	"kicau/projections/timeline"
)

// views are the read models that are kept.
func views() []projections.View {
	return []projections.View{
		timeline.Projection.View(), order.Projection.View(), settlement.Journal.View(),
		settlement.Balances.View(), deadline.Projection.View(), payout.Projection.View(),
	}
}

// What views and saga subscribe to.
const (
	viewTopic = "category:shop,offer,order,buyer,payout,reconcile"
	sagaTopic = "category:order"
)

var (
	viewFilter = command.Filter{StreamPrefixes: []string{"shop-", "offer-", "order-", "buyer-", "payout-", "reconcile-"}}
	sagaFilter = command.Filter{StreamPrefixes: []string{"order-"}}
)

// engine is everything that runs: the Watermill router with a handler for each
// view and one for the saga, the deadlines, the sandbox when there is no Stripe
// key, and what is served.
type engine struct {
	g       *Global
	desk    *desk
	runners []*projections.Runner
	saga    *react.Saga
	group   command.Group // the saga's place in the log
	router  *message.Router
	dues    *react.Deadlines
	sandbox *sandbox.Server // nil with a Stripe key
	stripe  *stripe.Client
	web     *web.Server
	store   *node.Server

	started bool
	failed  chan error // why the engine cannot go on
}

// sandboxKey is the API key of the built-in sandbox. It is no secret: the
// sandbox listens on loopback only and moves no money.
const sandboxKey = "sk_test_kicau_sandbox"

func newEngine(ctx context.Context, g *Global, d *desk, n need) (*engine, error) {
	e := &engine{g: g, desk: d, failed: make(chan error, 1)}
	if err := e.openPayments(n); err != nil {
		return e, errors.Join(err, e.close())
	}
	for _, v := range views() {
		r, err := projections.NewRunner(ctx, v, d.store, domain.Events, d.logID)
		if err != nil {
			return e, errors.Join(err, e.close())
		}
		e.runners = append(e.runners, r)
	}
	e.saga = react.New(react.Options{Commands: d.commands, Payments: e.stripe, Now: now, NewID: uuid.New, Logger: g.logger()})
	if err := e.notBeyond(); err != nil {
		return e, errors.Join(err, e.close())
	}
	e.dues = react.NewDeadlines(e.saga, d.store)
	if err := e.openServers(n); err != nil {
		return e, errors.Join(err, e.close())
	}
	return e, nil
}

// notBeyond refuses read models that have seen more than the log holds: an older
// copy of the log was put in its place, and what is appended from here on would
// be taken for seen.
func (e *engine) notBeyond() error {
	if e.desk.node == nil {
		return nil // the subscription notices it: messaging.ErrLogWentBack
	}
	head := e.desk.node.Head()
	for _, r := range e.runners {
		if at := r.Checkpoint().Position; at.Compare(head) > 0 {
			return fmt.Errorf("%s in %s has come to %s, but the log ends at %s: the log was put back to an older state; remove views.sqlite, it is made again from the log",
				r.Name(), e.g.Data, at, head)
		}
	}
	return nil
}

// clock is what the business goes by: deadlines, holds, what is written down as
// the time of a command. A test that lets months pass has one of its own.
var clock = time.Now

func now() time.Time { return clock().UTC() }

// openPayments connects to Stripe, or starts the sandbox in its place.
func (e *engine) openPayments(n need) (err error) {
	o := stripe.Options{SecretKey: e.g.StripeKey, Now: now, Logger: e.g.logger()}
	if o.SecretKey == "" {
		box := sandbox.Options{Listen: n.sandbox, SecretKey: sandboxKey, Dir: filepath.Join(e.g.Data, "sandbox"), Now: now, Logger: e.g.logger(),
			WebhookLater: n.web != ""}
		if n.unkind != nil {
			n.unkind(&box)
		}
		e.sandbox = sandbox.New(box)
		if err := e.sandbox.Start(); err != nil {
			return fmt.Errorf("start the payment sandbox: %w", err)
		}
		o.SecretKey, o.BaseURL, o.PayURL = sandboxKey, e.sandbox.URL(), e.sandbox.PayURL
	}
	e.stripe, err = stripe.New(o)
	return err
}

// openServers starts what others can reach.
func (e *engine) openServers(n need) error {
	if n.eventStore != "" {
		if e.desk.node == nil {
			return errors.New("the log is at --eventstore, so there is none to serve: leave --eventstore-listen out")
		}
		err := n.listen(n.eventStore, func(at string) error {
			e.store = node.NewServer(e.desk.node, n.store.options(at, e.g.logger()))
			return e.store.Start()
		})
		if err != nil {
			return fmt.Errorf("serve the event store: %w", err)
		}
	}
	if n.web == "" {
		return nil
	}
	secret := e.g.WebhookKey
	if e.sandbox != nil {
		secret = "whsec_" + uuid.NewString() // for as long as we both run
	}
	if secret == "" {
		return errors.New("with --stripe-key the pages need --stripe-webhook-secret, or Stripe's news could not be told from a forger's")
	}
	hook, err := stripe.NewWebhook(secret, now)
	if err != nil {
		return err
	}
	err = n.listen(n.web, func(at string) error {
		e.web, err = web.New(web.Options{
			Listen: at, Commands: e.desk.commands, Vault: e.desk.vault, Payments: e.stripe, Store: e.desk.store,
			Wait: e.waitFor, Notice: e.notice,
			VerifyWebhook: func(body []byte, signature string) (about, key string, err error) {
				notice, err := hook.Verify(body, signature)
				return cmp.Or(notice.Intent, notice.Charge), notice.Key, err
			},
			NewID: uuid.New, Now: now, Sandbox: e.sandbox != nil, Logger: e.g.logger(),
		})
		if err != nil {
			return err
		}
		return e.web.Start()
	})
	if err != nil {
		return fmt.Errorf("serve the pages: %w", err)
	}
	if e.sandbox != nil {
		e.sandbox.SetWebhook(e.web.URL()+"/webhooks/stripe", secret)
	}
	return nil
}

// listen starts a server at an address, or, where any port will do, at a free
// one when that is taken.
func (n need) listen(at string, start func(at string) error) error {
	err := start(at)
	if n.anyPort && errors.Is(err, syscall.EADDRINUSE) {
		return start("127.0.0.1:0")
	}
	return err
}

// notice passes a webhook on, unless it tells what a call of ours did. It names a
// payment intent or, where the processor says no more, a charge. What is not ours
// is nobody's fault. What has to wait is an error, so that it comes again.
func (e *engine) notice(ctx context.Context, about, key string, cause uuid.UUID) error {
	if echo, err := e.saga.Echo(ctx, key); echo || err != nil {
		return err
	}
	err := e.saga.Notice(ctx, about, cause)
	if errors.Is(err, react.ErrNotOurs) {
		e.g.logger().Info("a webhook about somebody else's payment", "payment", about)
		return nil
	}
	return err
}

// waitFor lets a page read its own writes.
func (e *engine) waitFor(ctx context.Context, view string, p event.Position) error {
	for i, v := range []string{timeline.Projection.Name, order.Projection.Name} {
		if v == view {
			return e.runners[i].Wait(ctx, p)
		}
	}
	return fmt.Errorf("there is no view %q to wait for", view)
}

// start the router and the deadlines.
func (e *engine) start(ctx context.Context) error {
	logger := watermill.NewSlogLogger(e.g.logger())
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 30 * time.Second}, logger)
	if err != nil {
		return err
	}
	e.router = router
	for _, r := range e.runners {
		e.handle(r.Name(), viewTopic, r.Checkpoint, r.Handler(pageOf), logger)
	}
	if err := e.handleSaga(ctx, logger); err != nil {
		return err
	}
	go func() {
		if err := router.Run(context.WithoutCancel(ctx)); err != nil {
			e.fail(fmt.Errorf("the router stopped: %w", err))
		}
	}()
	select {
	case <-router.Running():
	case err := <-e.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	e.dues.Start()
	e.started = true
	return nil
}

// handle subscribes a consumer of pages: it begins after its own checkpoint.
func (e *engine) handle(name, topic string, at func() projections.Checkpoint, h message.NoPublishHandlerFunc, logger watermill.LoggerAdapter) {
	sub := messaging.NewSubscriber(e.desk.log, messaging.SubscriberConfig{
		From:    func(context.Context, string) (event.Position, error) { return at().Position, nil },
		Pages:   true,
		Stopped: func(_ string, err error) { e.fail(fmt.Errorf("%s: the subscription ended: %w", name, err)) },
		Logger:  logger,
	})
	e.router.AddConsumerHandler(name, topic, sub, h)
}

// handleSaga subscribes the saga, through a persistent subscription that all
// sagas with its account share.
func (e *engine) handleSaga(ctx context.Context, logger watermill.LoggerAdapter) error {
	account, err := e.account(ctx)
	if err != nil {
		return err
	}
	sub, err := messaging.NewGroupSubscriber(e.desk.groups, messaging.GroupConfig{
		Name: react.Group(account), InFlight: react.AtOnce, MessageTimeout: react.StepTimeout, Permanent: react.ForGood,
		Stopped: func(_ string, err error) { e.fail(fmt.Errorf("the saga's subscription ended: %w", err)) },
		Logger:  logger,
	})
	if err != nil {
		return err
	}
	if e.group, err = sub.Group(sagaTopic); err != nil {
		return err
	}
	h := e.router.AddConsumerHandler("saga", sagaTopic, sub, e.saga.Handler(messaging.EventOf))
	h.AddMiddleware(messaging.KeepReason)
	return nil
}

// account is the platform's at the processor. A processor that is away is waited
// for, but not for ever: a command should say so.
func (e *engine) account(ctx context.Context) (account string, err error) {
	ctx, stop := context.WithTimeout(ctx, accountWait)
	defer stop()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		if account, err = e.stripe.Account(ctx); err == nil {
			return account, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", fmt.Errorf("which account the payments go to could not be found out for %s: check --stripe-key and whether the processor can be reached: %w", accountWait, err)
		}
	}
}

// accountWait is how long a start waits for the processor.
const accountWait = 30 * time.Second

func pageOf(m *message.Message) (projections.Page, bool) {
	p, ok := messaging.PageOf(m)
	return projections.Page{Events: p.Events, Last: p.Last}, ok
}

func (e *engine) fail(err error) {
	select {
	case e.failed <- err:
	default: // somebody said so already
	}
}

// caughtUp waits until views and saga have seen what is in the log, and what
// the saga wrote meanwhile.
func (e *engine) caughtUp(ctx context.Context) error {
	for {
		if err := e.desk.sagaCaughtUp(ctx); err != nil {
			return err
		}
		head, err := headOf(ctx, e.desk.log, viewFilter)
		if err != nil {
			return err
		}
		for _, r := range e.runners {
			if err := r.Wait(ctx, head); err != nil {
				return err
			}
		}
		again, err := headOf(ctx, e.desk.log, viewFilter)
		if err != nil || again == head {
			return err
		}
	}
}

// sagaAt waits until the saga has looked after everything up to a position, or
// parked it.
func (e *engine) sagaAt(ctx context.Context, p event.Position) error {
	return settled(ctx, e.desk.groups, e.group, p, e.failed)
}

// settled waits until a group has settled everything up to a position.
func settled(ctx context.Context, groups command.Groups, g command.Group, p event.Position, failed <-chan error) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		info, err := groups.GroupInfo(ctx, g)
		if err != nil {
			return err
		}
		if info.Settled(p) {
			return nil
		}
		select {
		case <-time.After(pause):
		case err := <-failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("the saga has %d events of orders to look after, up to %s, waiting for %s: %w", info.Unsettled, info.Seen, p, ctx.Err())
		}
	}
}

// close what was started, in the order in which it can be missed.
func (e *engine) close() error {
	var errs []error
	if e.web != nil {
		errs = append(errs, e.web.Close())
	}
	if e.started {
		e.dues.Close()
		errs = append(errs, e.router.Close())
	}
	if e.store != nil {
		errs = append(errs, e.store.Close())
	}
	if e.stripe != nil {
		e.stripe.Close()
	}
	if e.sandbox != nil {
		errs = append(errs, e.sandbox.Close())
	}
	return errors.Join(errs...)
}
