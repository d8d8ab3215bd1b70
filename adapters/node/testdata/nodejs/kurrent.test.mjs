// The client of EventStoreDB's successor. Its reads are written in Rust, and ask
// for what older clients do not know.
import assert from "node:assert/strict";
import { after } from "node:test";
import {
  BACKWARDS,
  END,
  eventTypeFilter,
  jsonEvent,
  KurrentDBClient,
  NO_STREAM,
  persistentSubscriptionToStreamSettingsFromDefaults as settings,
  START,
  StreamDeletedError,
  StreamNotFoundError,
  streamNameFilter,
  WrongExpectedVersionError,
} from "@kurrent/kurrentdb-client";
import { collect, failure, idsOf, take, test, unique } from "./lib.mjs";

const client = KurrentDBClient.connectionString(process.env.ESDB.replace("esdb:", "kurrentdb:"));
after(() => client.dispose());

const placed = (n) => Array.from({ length: n }, () => jsonEvent({ type: "placed", data: { n } }));

test("append and read", async () => {
  const stream = unique("kurrent");
  const batch = placed(100);
  const { nextExpectedRevision, position } = await client.appendToStream(stream, batch, { streamState: NO_STREAM });
  assert.equal(nextExpectedRevision, 99n);
  assert.ok((await failure(client.appendToStream(stream, placed(1), { streamState: NO_STREAM }))) instanceof WrongExpectedVersionError);
  const ids = idsOf(batch);
  assert.deepEqual(idsOf(await collect(client.readStream(stream))), ids);
  assert.deepEqual(idsOf(await collect(client.readStream(stream, { fromRevision: 90n, maxCount: 5 }))), ids.slice(90, 95));
  assert.deepEqual(await collect(client.readStream(stream, { fromRevision: 200n })), []);
  const back = { direction: BACKWARDS, fromRevision: END };
  assert.deepEqual(idsOf(await collect(client.readStream(stream, back))), [...ids].reverse());
  const all = await collect(client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 10 }));
  assert.ok(all.some(({ event }) => event.position.commit === position.commit));
  assert.ok((await failure(collect(client.readStream(unique("missing"))))) instanceof StreamNotFoundError);
});

test("reads of $all are filtered, both ways", async () => {
  const [a, b] = [unique("kurrent-a"), unique("kurrent-b")];
  const batch = placed(20);
  for (const e of batch) await client.appendToStream(a, e);
  await client.appendToStream(b, placed(20));
  const read = async (options) => idsOf(await collect(client.readAll(options)));
  assert.deepEqual(await read({ filter: streamNameFilter({ prefixes: [a] }) }), idsOf(batch));
  assert.deepEqual(await read({ filter: streamNameFilter({ regex: `^${a}$` }), maxCount: 3 }), idsOf(batch).slice(0, 3));
  const back = { direction: BACKWARDS, fromPosition: END };
  assert.deepEqual(await read({ ...back, filter: streamNameFilter({ prefixes: [a] }) }), idsOf(batch).reverse());
  assert.deepEqual(await read({ filter: eventTypeFilter({ prefixes: [unique("none")] }) }), []);
});

test("subscriptions", async () => {
  const stream = unique("kurrent-sub");
  const [before, later] = [placed(10), placed(3)];
  await client.appendToStream(stream, before);
  const ofStream = take(client.subscribeToStream(stream, { fromRevision: START }), 13);
  const ofAll = take(client.subscribeToAll({ fromPosition: START, filter: streamNameFilter({ prefixes: [stream] }) }), 13);
  await client.appendToStream(stream, later);
  assert.deepEqual(idsOf(await ofStream), idsOf([...before, ...later]));
  assert.deepEqual(idsOf(await ofAll), idsOf([...before, ...later]));
});

test("a stream whose beginning is hidden", async () => {
  const stream = unique("kurrent-hidden");
  const batch = placed(60);
  await client.appendToStream(stream, batch);
  await client.setStreamMetadata(stream, { truncateBefore: 50 });
  assert.deepEqual(idsOf(await collect(client.readStream(stream))), idsOf(batch).slice(50));
  assert.deepEqual(idsOf(await collect(client.readStream(stream, { fromRevision: 10n, maxCount: 5 }))), idsOf(batch).slice(50, 55));
});

test("metadata and deletes", async () => {
  const stream = unique("kurrent-delete");
  await client.appendToStream(stream, placed(5));
  await client.setStreamMetadata(stream, { maxCount: 2, truncateBefore: 1 });
  assert.deepEqual((await client.getStreamMetadata(stream)).metadata, { maxCount: 2, truncateBefore: 1 });
  assert.equal((await collect(client.readStream(stream))).length, 2);
  await client.deleteStream(stream);
  assert.ok((await failure(collect(client.readStream(stream)))) instanceof StreamNotFoundError);
  await client.tombstoneStream(stream);
  assert.ok((await failure(collect(client.readStream(stream)))) instanceof StreamDeletedError);
});

test("persistent subscriptions", async () => {
  const stream = unique("kurrent-ps");
  const batch = placed(10);
  await client.appendToStream(stream, batch);
  await client.createPersistentSubscriptionToStream(stream, "g", settings({ startFrom: START }));
  const subscription = client.subscribeToPersistentSubscriptionToStream(stream, "g");
  const got = [];
  for await (const e of subscription) {
    got.push(e.event.id);
    await subscription.ack(e);
    if (got.length === batch.length) break;
  }
  assert.deepEqual(got, idsOf(batch));
  await client.deletePersistentSubscriptionToStream(stream, "g");
});
