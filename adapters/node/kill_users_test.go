package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// write appends to a stream until the test ends: alone at the revision it knows,
// or among others at any. What is not answered is said again, as it was.
func (k *killed) write(stream string, alone bool, rng *rand.Rand) {
	expect := int64(expectAny)
	if alone {
		expect = expectNoStream
	}
	for !k.ending.Load() && !k.Failed() {
		events := make([]proposed, 1+rng.IntN(3))
		for i := range events {
			id := uuid.New()
			events[i] = proposed{ID: id, Type: "T", ContentType: octetContent, Data: killData(id)}
		}
		at, err := k.target.append(context.Background(), stream, expect, events)
		for err != nil {
			var wrong *wrongRevision
			if errors.As(err, &wrong) {
				k.Errorf("%s: %+v, and nobody else writes to it", stream, wrong)
				return
			}
			k.mu.Lock()
			k.unknown++
			k.mu.Unlock()
			time.Sleep(time.Millisecond)
			at, err = k.target.append(context.Background(), stream, expect, events)
		}
		if alone && at.Revision != expect+int64(len(events)) {
			k.Errorf("%s: %d events after revision %d are said to end at %d", stream, len(events), expect, at.Revision)
			return
		}
		if alone {
			expect = at.Revision
		}
		k.mu.Lock()
		for i, e := range events {
			back := uint64(len(events) - 1 - i)
			k.acks[e.ID] = ackedAppend{stream, uint64(at.Revision) - back, at.Position - back}
		}
		k.mu.Unlock()
	}
}

// consume takes from the group until the context ends, whatever becomes of the
// node: acks most, has some come again, parks some.
func (k *killed) consume(ctx context.Context, rng *rand.Rand) {
	for k.isUp(ctx) {
		client := k.target.connect()
		sub, err := client.SubscribeToPersistentSubscriptionToAll(ctx, "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 20})
		if err == nil {
			k.receive(sub, rng)
			sub.Close()
		} else {
			time.Sleep(time.Millisecond)
		}
		client.Close()
	}
}

// isUp waits until the node serves; false: the context ended.
func (k *killed) isUp(ctx context.Context) bool {
	k.mu.Lock()
	up := k.up
	k.mu.Unlock()
	select {
	case <-up:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// busy waits until the node has acknowledged and delivered something since it was
// started.
func (k *killed) busy(acks, delivered int) {
	k.Helper()
	for deadline := time.Now().Add(lifePatience); !k.Failed(); time.Sleep(time.Millisecond) {
		k.mu.Lock()
		is := len(k.acks) > acks && k.delivered > delivered
		k.mu.Unlock()
		if is {
			return
		}
		if time.Now().After(deadline) {
			k.Fatalf("the node was started, and after %d acks and %d deliveries there are %d and %d", acks, delivered, len(k.acks), k.delivered)
		}
	}
}

func (k *killed) receive(sub *esdb.PersistentSubscription, rng *rand.Rand) {
	for {
		e := sub.Recv().EventAppeared
		if e == nil {
			return
		}
		action := rng.IntN(20)
		k.mu.Lock()
		k.delivered++
		if action > 1 || k.ending.Load() {
			k.dealtWith[e.Event.OriginalEvent().EventID] = true
		}
		k.mu.Unlock()
		var err error
		switch {
		case k.ending.Load() || action > 1:
			err = sub.Ack(e.Event)
		case action == 1:
			err = sub.Nack("poison", esdb.NackActionPark, e.Event)
		default:
			err = sub.Nack("later", esdb.NackActionRetry, e.Event)
		}
		if err != nil {
			return
		}
	}
}
