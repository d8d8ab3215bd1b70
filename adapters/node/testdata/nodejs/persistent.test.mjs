import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import {
  binaryEvent,
  DISPATCH_TO_SINGLE,
  END,
  eventTypeFilter,
  PARK,
  PersistentSubscriptionDoesNotExistError,
  PersistentSubscriptionDroppedError,
  PersistentSubscriptionExistsError,
  PersistentSubscriptionFailedError,
  PersistentSubscriptionMaximumSubscribersReachedError,
  persistentSubscriptionToAllSettingsFromDefaults as allSettings,
  persistentSubscriptionToStreamSettingsFromDefaults as streamSettings,
  PINNED,
  RETRY,
  ROUND_ROBIN,
  SKIP,
  START,
  streamNameFilter,
} from "@eventstore/db-client";
import { client, events } from "./client.mjs";
import { failure, idsOf, next, test, unique } from "./lib.mjs";

const append = async (stream, count, type) => {
  const batch = events(count, type);
  const { position } = await client.appendToStream(stream, batch);
  return { ids: idsOf(batch), position };
};

// A stream with events and a group that starts with the first of them.
async function group(name, count, settings = {}) {
  const stream = unique(name);
  const { ids } = await append(stream, count);
  await client.createPersistentSubscriptionToStream(stream, "g", streamSettings({ startFrom: START, ...settings }));
  return { stream, ids };
}

const info = (stream) => client.getPersistentSubscriptionToStreamInfo(stream, "g");

// Answers of consumers are not answered, so what they lead to is asked for.
async function until(stream, so) {
  for (;;) {
    const now = await info(stream);
    if (so(now.stats)) return now;
    await sleep(5);
  }
}

// What a consumer is given, each dealt with by fn, until there were so many.
async function consume(subscription, count, fn) {
  const got = [];
  for await (const e of subscription) {
    got.push(e);
    await fn(e, got.length - 1);
    if (got.length === count) break;
  }
  return got;
}

// Breaking out of the loop over a subscription ends it, so what follows it needs
// one loop over all.
const ack = (subscription) => (e) => subscription.ack(e);

test("history, then live, in order", async () => {
  const { stream, ids } = await group("ps", 30);
  const subscription = client.subscribeToPersistentSubscriptionToStream(stream, "g");
  await next(subscription, "confirmation");
  const { ids: live } = await append(stream, 5);
  const got = await consume(subscription, 35, ack(subscription));
  assert.deepEqual(idsOf(got), [...ids, ...live]);
  assert.ok(got.every(({ retryCount }) => retryCount === 0));
});

test("from the end, from a revision", async () => {
  const stream = unique("ps-from");
  const { ids } = await append(stream, 10);
  await client.createPersistentSubscriptionToStream(stream, "end", streamSettings({ startFrom: END }));
  await client.createPersistentSubscriptionToStream(stream, "eight", streamSettings({ startFrom: 8n }));
  const { ids: live } = await append(stream, 2);
  for (const [name, want] of [["end", live], ["eight", [...ids.slice(8), ...live]]]) {
    const subscription = client.subscribeToPersistentSubscriptionToStream(stream, name);
    assert.deepEqual(idsOf(await consume(subscription, want.length, ack(subscription))), want);
  }
});

test("who leaves without an answer leaves it to the next", async () => {
  const { stream, ids } = await group("ps-leave", 6);
  const first = client.subscribeToPersistentSubscriptionToStream(stream, "g");
  await consume(first, 3, (e, i) => (i < 2 ? first.ack(e) : undefined));
  // An answer that is on its way when the call is cancelled may be lost with it.
  await until(stream, ({ totalInFlightMessages }) => totalInFlightMessages === 4);
  await first.unsubscribe();
  await until(stream, ({ totalInFlightMessages }) => totalInFlightMessages === 0);
  const second = client.subscribeToPersistentSubscriptionToStream(stream, "g");
  const got = await consume(second, 4, ack(second));
  assert.deepEqual(new Set(idsOf(got)), new Set(ids.slice(2)));
});

test("retry, skip and park", async () => {
  const { stream, ids } = await group("ps-nack", 4, { maxRetryCount: 1 });
  const subscription = client.subscribeToPersistentSubscriptionToStream(stream, "g");
  const seen = [];
  await consume(subscription, 5, async (e) => {
    const n = ids.indexOf(e.event.id);
    seen.push([n, e.retryCount]);
    const [action, reason] = [[RETRY, "again"], [SKIP, "never mind"], [PARK, "poison"], []][n];
    await (action ? subscription.nack(action, reason, e) : subscription.ack(e));
  });
  assert.deepEqual(seen, [[0, 0], [1, 0], [2, 0], [3, 0], [0, 1]]);
  // Parked by hand, and for one retry too many.
  const { stats } = await until(stream, ({ parkedMessageCount }) => parkedMessageCount === 2n);
  assert.equal(stats.outstandingMessagesCount, 0);
});

test("parked messages are replayed, all or up to one", async () => {
  const { stream, ids } = await group("ps-replay", 5);
  const subscription = client.subscribeToPersistentSubscriptionToStream(stream, "g");
  const replayed = [];
  await consume(subscription, 10, async (e, i) => {
    if (i < 5) {
      await subscription.nack(PARK, "later", e);
      if (i < 4) return;
      await until(stream, ({ parkedMessageCount }) => parkedMessageCount === 5n);
      await client.replayParkedMessagesToStream(stream, "g", { stopAt: 2 });
      return;
    }
    replayed.push(e.event.id);
    await subscription.ack(e);
    if (i !== 6) return;
    await until(stream, ({ parkedMessageCount }) => parkedMessageCount === 3n);
    await client.replayParkedMessagesToStream(stream, "g");
  });
  assert.deepEqual(replayed, ids);
  await until(stream, ({ parkedMessageCount }) => parkedMessageCount === 0n);
});

test("no answer in time is a retry, and too many park", async () => {
  const { stream, ids } = await group("ps-timeout", 1, { messageTimeout: 50, maxRetryCount: 2 });
  const subscription = client.subscribeToPersistentSubscriptionToStream(stream, "g");
  const got = await consume(subscription, 3, () => {});
  assert.deepEqual(got.map(({ event, retryCount }) => [event.id, retryCount]), [0, 1, 2].map((n) => [ids[0], n]));
  await until(stream, ({ parkedMessageCount }) => parkedMessageCount === 1n);
});

test("a buffer is how much is out", async () => {
  const { stream, ids } = await group("ps-buffer", 3);
  const subscription = client.subscribeToPersistentSubscriptionToStream(stream, "g", { bufferSize: 1 });
  const got = await consume(subscription, 3, async (e) => {
    const { stats, connections } = await until(stream, (s) => s.totalInFlightMessages === 1);
    assert.deepEqual([stats.outstandingMessagesCount, connections[0].availableSlots], [1, 0]);
    await subscription.ack(e);
  });
  assert.deepEqual(idsOf(got), ids);
});

for (const consumerStrategyName of [ROUND_ROBIN, DISPATCH_TO_SINGLE, PINNED]) {
  test(`consumers compete: ${consumerStrategyName}`, async () => {
    const { stream, ids } = await group("ps-compete", 100, { consumerStrategyName });
    const seen = [];
    const subscriptions = Array.from({ length: 3 }, () => client.subscribeToPersistentSubscriptionToStream(stream, "g"));
    await new Promise((resolve, reject) => {
      for (const subscription of subscriptions) {
        subscription.on("error", reject);
        subscription.on("data", async (e) => {
          await subscription.ack(e);
          if (seen.push(e.event.id) === ids.length) resolve();
        });
      }
    });
    assert.deepEqual(seen.sort(), [...ids].sort());
    await Promise.all(subscriptions.map((s) => s.unsubscribe()));
  });
}

test("links are resolved, and answered by the link's id", async () => {
  const [target, index] = [unique("ps-target"), unique("ps-index")];
  const { ids } = await append(target, 3);
  const links = [0, 1, 2, 9].map((n) => binaryEvent({ type: "$>", data: new TextEncoder().encode(`${n}@${target}`) }));
  await client.appendToStream(index, links);
  await client.createPersistentSubscriptionToStream(index, "g", streamSettings({ startFrom: START, resolveLinkTos: true }));
  const subscription = client.subscribeToPersistentSubscriptionToStream(index, "g");
  const got = await consume(subscription, 4, ack(subscription));
  assert.deepEqual(got.map(({ event }) => event?.id), [...ids, undefined]);
  assert.deepEqual(got.map(({ link }) => link.id), idsOf(links));
  await until(index, (s) => s.totalInFlightMessages === 0);
});

test("a group of $all, filtered, from a position", async () => {
  const [a, b] = [unique("ps-all-a"), unique("ps-all-b")];
  const before = await append(a, 1, a);
  const { ids } = await append(a, 3, a);
  await append(b, 3, b);
  for (const [name, filter] of Object.entries({
    prefix: streamNameFilter({ prefixes: [a] }),
    regex: streamNameFilter({ regex: `^${a}$` }),
    type: eventTypeFilter({ prefixes: [a] }),
    "type regex": eventTypeFilter({ regex: `^${a}$` }),
  })) {
    const groupName = unique(name);
    const settings = allSettings({ startFrom: before.position });
    await client.createPersistentSubscriptionToAll(groupName, settings, { filter });
    const subscription = client.subscribeToPersistentSubscriptionToAll(groupName);
    const got = await consume(subscription, 4, ack(subscription)); // the one at the position too
    assert.deepEqual(idsOf(got), [...before.ids, ...ids]);
    const info = await client.getPersistentSubscriptionToAllInfo(groupName);
    assert.deepEqual([info.eventSource, info.settings], ["$all", settings]);
    await client.deletePersistentSubscriptionToAll(groupName);
  }
  const groupName = unique("ends");
  for (const startFrom of [START, END]) {
    const settings = allSettings({ startFrom });
    await client.createPersistentSubscriptionToAll(groupName, settings);
    assert.deepEqual((await client.getPersistentSubscriptionToAllInfo(groupName)).settings, settings);
    await client.updatePersistentSubscriptionToAll(groupName, allSettings({ startFrom: before.position }));
    assert.ok((await client.listPersistentSubscriptionsToAll()).some((i) => i.groupName === groupName));
    await client.deletePersistentSubscriptionToAll(groupName);
  }
});

test("groups are made, changed, told of and deleted", async () => {
  const settings = streamSettings({
    startFrom: START,
    resolveLinkTos: true,
    extraStatistics: true,
    messageTimeout: 7_000,
    maxRetryCount: 3,
    checkPointAfter: 1_500,
    checkPointLowerBound: 4,
    checkPointUpperBound: 40,
    maxSubscriberCount: 1,
    liveBufferSize: 50,
    readBatchSize: 6,
    historyBufferSize: 60,
    consumerStrategyName: DISPATCH_TO_SINGLE,
  });
  const { stream } = await group("ps-manage", 5, settings);
  assert.ok((await failure(client.createPersistentSubscriptionToStream(stream, "g", settings))) instanceof PersistentSubscriptionExistsError);
  const wrong = await failure(client.createPersistentSubscriptionToStream(stream, "other", streamSettings({ readBatchSize: 500, historyBufferSize: 500 })));
  assert.ok(wrong instanceof PersistentSubscriptionFailedError, String(wrong));
  const made = await info(stream);
  assert.deepEqual([made.eventSource, made.groupName, made.settings, made.connections], [stream, "g", settings, []]);

  const one = client.subscribeToPersistentSubscriptionToStream(stream, "g", { bufferSize: 2 });
  await next(one, "confirmation");
  const two = await next(client.subscribeToPersistentSubscriptionToStream(stream, "g"), "error");
  assert.ok(two instanceof PersistentSubscriptionMaximumSubscribersReachedError, String(two));
  const { connections, stats } = await until(stream, (s) => s.totalInFlightMessages === 2);
  assert.equal(connections.length, 1);
  assert.equal(connections[0].connectionName, client.connectionName);
  assert.deepEqual([connections[0].inFlightMessages, connections[0].availableSlots], [2, 0]);
  assert.deepEqual([stats.lastKnownEventRevision, stats.lastCheckpointedEventRevision], [4n, undefined]);

  const listed = await client.listPersistentSubscriptionsToStream(stream);
  assert.deepEqual(listed.map((i) => [i.eventSource, i.groupName, i.settings]), [[stream, "g", settings]]);
  assert.ok((await client.listAllPersistentSubscriptions()).some((i) => i.eventSource === stream));

  const dropped = next(one, "error");
  await client.updatePersistentSubscriptionToStream(stream, "g", { ...settings, maxRetryCount: 9 });
  assert.ok((await dropped) instanceof PersistentSubscriptionDroppedError);
  assert.equal((await info(stream)).settings.maxRetryCount, 9);
  const gone = client.subscribeToPersistentSubscriptionToStream(stream, "g");
  await next(gone, "confirmation");
  const ended = next(gone, "error");
  await client.deletePersistentSubscriptionToStream(stream, "g");
  assert.ok((await ended) instanceof PersistentSubscriptionDoesNotExistError);
});

test("a group that is not there", async () => {
  const stream = unique("ps-missing");
  for (const call of [
    () => info(stream),
    () => client.listPersistentSubscriptionsToStream(stream),
    () => client.updatePersistentSubscriptionToStream(stream, "g", streamSettings()),
    () => client.deletePersistentSubscriptionToStream(stream, "g"),
    () => client.replayParkedMessagesToStream(stream, "g"),
    () => client.getPersistentSubscriptionToAllInfo(stream),
    () => client.updatePersistentSubscriptionToAll(stream, allSettings()),
    () => client.deletePersistentSubscriptionToAll(stream),
    () => client.replayParkedMessagesToAll(stream),
    () => next(client.subscribeToPersistentSubscriptionToStream(stream, "g"), "error").then((e) => Promise.reject(e)),
  ]) {
    const err = await failure(call());
    assert.ok(err instanceof PersistentSubscriptionDoesNotExistError, `${call}: ${err}`);
  }
});

test("restarted, groups go on", async () => {
  const { stream, ids } = await group("ps-restart", 4, { checkPointLowerBound: 1, checkPointUpperBound: 1 });
  const first = client.subscribeToPersistentSubscriptionToStream(stream, "g");
  await consume(first, 2, ack(first));
  await until(stream, (s) => s.lastCheckpointedEventRevision === 1n);
  await client.restartPersistentSubscriptionSubsystem();
  const second = client.subscribeToPersistentSubscriptionToStream(stream, "g");
  assert.deepEqual(idsOf(await consume(second, 2, ack(second))), ids.slice(2));
});
