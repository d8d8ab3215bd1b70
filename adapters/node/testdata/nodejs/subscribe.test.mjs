import assert from "node:assert/strict";
import {
  binaryEvent,
  END,
  eventTypeFilter,
  excludeSystemEvents,
  START,
  StreamDeletedError,
  streamNameFilter,
} from "@eventstore/db-client";
import { client, events } from "./client.mjs";
import { idsOf, next, take, test, unique } from "./lib.mjs";

const append = async (stream, count, type) => {
  const batch = events(count, type);
  const { position } = await client.appendToStream(stream, batch);
  return { ids: idsOf(batch), position };
};

test("a stream: what is there, caught up, what comes", async () => {
  const stream = unique("sub");
  const { ids: before } = await append(stream, 100);
  const subscription = client.subscribeToStream(stream, { fromRevision: START });
  await next(subscription, "confirmation");
  let seen = 0;
  const caughtUp = next(subscription, "caughtUp").then(() => seen);
  const taken = (async () => {
    const got = [];
    for await (const e of subscription) {
      seen = got.push(e);
      if (got.length === 103) break;
    }
    return got;
  })();
  await caughtUp;
  const { ids: later } = await append(stream, 3);
  assert.deepEqual(idsOf(await taken), [...before, ...later]);
  await subscription.unsubscribe();
});

test("a stream, after a revision and from its end", async () => {
  const stream = unique("sub-from");
  const { ids } = await append(stream, 10);
  const after = client.subscribeToStream(stream, { fromRevision: 4n });
  const end = client.subscribeToStream(stream, { fromRevision: END });
  await Promise.all([next(after, "confirmation"), next(end, "caughtUp")]);
  const { ids: live } = await append(stream, 2);
  assert.deepEqual(idsOf(await take(after, 7)), [...ids.slice(5), ...live]);
  assert.deepEqual(idsOf(await take(end, 2)), live);
});

test("a stream that is not there yet", async () => {
  const stream = unique("sub-missing");
  const subscription = client.subscribeToStream(stream);
  await next(subscription, "caughtUp");
  const { ids } = await append(stream, 2);
  assert.deepEqual(idsOf(await take(subscription, 2)), ids);
});

test("a stream that is deleted for good ends with that", async () => {
  const stream = unique("sub-tombstone");
  await append(stream, 1);
  const subscription = client.subscribeToStream(stream);
  const got = [];
  subscription.on("data", (e) => got.push(e.event.type));
  const ended = next(subscription, "error");
  await next(subscription, "caughtUp");
  await client.tombstoneStream(stream);
  const err = await ended;
  assert.ok(err instanceof StreamDeletedError, String(err));
  assert.equal(err.streamName, stream);
  assert.deepEqual(got, ["placed", "$streamDeleted"]);
  const late = next(client.subscribeToStream(stream).on("data", assert.fail), "error");
  assert.ok((await late) instanceof StreamDeletedError);
});

test("links are resolved when that is asked for", async () => {
  const [target, index] = [unique("sub-target"), unique("sub-index")];
  const { ids } = await append(target, 1);
  const link = binaryEvent({ type: "$>", data: new TextEncoder().encode(`0@${target}`) });
  const subscription = client.subscribeToStream(index, { resolveLinkTos: true });
  await next(subscription, "confirmation");
  await client.appendToStream(index, link);
  const [got] = await take(subscription, 1);
  assert.deepEqual([got.event.id, got.link.id], [ids[0], link.id]);
});

test("$all, after a position", async () => {
  const stream = unique("sub-all");
  const { position } = await append(stream, 1);
  const { ids } = await append(stream, 5);
  const subscription = client.subscribeToAll({ fromPosition: position });
  const got = [];
  for await (const { event } of subscription) {
    if (event.streamId === stream) got.push(event.id);
    if (got.length === 5) break;
  }
  await subscription.unsubscribe();
  assert.deepEqual(got, ids);
});

test("$all filtered: by prefix and regular expression, of stream and type", async () => {
  const [a, b] = [unique("fil-a"), unique("fil-b")];
  const { position } = await append(unique("before"), 1);
  const written = [];
  const write = async (stream, count, type) => {
    const { ids } = await append(stream, count, type);
    written.push(...ids.map((id) => ({ id, stream })));
  };
  await write(a, 40, `${a}-placed`);
  await write(b, 40, `${b}-paid`);
  for (const [filter, ...passing] of [
    [streamNameFilter({ prefixes: [a] }), a],
    [streamNameFilter({ prefixes: [b, a] }), a, b],
    [streamNameFilter({ regex: `^${b}$` }), b],
    [eventTypeFilter({ prefixes: [`${a}-pl`] }), a],
    [eventTypeFilter({ regex: `^${b}.*paid$` }), b],
    [eventTypeFilter({ regex: `^(?!\\$).*(?<=${a}-placed)$` }), a], // as only .NET reads it
  ]) {
    const subscription = client.subscribeToAll({ fromPosition: position, filter });
    await next(subscription, "confirmation");
    await write(a, 1, `${a}-placed`);
    await write(b, 1, `${b}-paid`);
    const want = written.filter(({ stream }) => passing.includes(stream));
    assert.deepEqual(idsOf(await take(subscription, want.length)), idsOf(want));
  }
  const user = client.subscribeToAll({ fromPosition: START, filter: excludeSystemEvents() });
  assert.ok((await take(user, 50)).every(({ event }) => !event.type.startsWith("$")));
});

test("a filter tells how far it has looked", async () => {
  const [passing, other] = [unique("chk-a"), unique("chk-b")];
  const { position: start } = await append(other, 1);
  const { position: end } = await append(other, 64);
  const checkpoints = [];
  const filter = streamNameFilter({
    prefixes: [passing],
    maxSearchWindow: 4,
    checkpointInterval: 2,
    checkpointReached: (_, position) => void checkpoints.push(position.commit),
  });
  const subscription = client.subscribeToAll({ fromPosition: start, filter });
  subscription.resume();
  await next(subscription, "caughtUp");
  assert.ok(checkpoints.length >= 8, `${checkpoints}`);
  assert.deepEqual(checkpoints, [...new Set(checkpoints)].sort((x, y) => (x < y ? -1 : 1)));
  assert.ok(checkpoints.at(-1) >= end.commit);
  await subscription.unsubscribe();

  // Going on after the last of them misses nothing.
  const { ids } = await append(passing, 1);
  const on = client.subscribeToAll({ fromPosition: { commit: checkpoints.at(-1), prepare: checkpoints.at(-1) }, filter });
  assert.deepEqual(idsOf(await take(on, 1)), ids);
});

test("many subscribers see the same", async () => {
  const stream = unique("sub-many");
  const subscriptions = Array.from({ length: 30 }, () => client.subscribeToStream(stream));
  await Promise.all(subscriptions.map((s) => next(s, "confirmation")));
  const taken = subscriptions.map((s) => take(s, 200));
  const { ids } = await append(stream, 200);
  for (const got of await Promise.all(taken)) assert.deepEqual(idsOf(got), ids);
});
