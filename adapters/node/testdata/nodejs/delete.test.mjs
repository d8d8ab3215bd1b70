import assert from "node:assert/strict";
import {
  BACKWARDS,
  END,
  NO_STREAM,
  StreamDeletedError,
  StreamNotFoundError,
  WrongExpectedVersionError,
} from "@eventstore/db-client";
import { client, events, ways } from "./client.mjs";
import { collect, failure, idsOf, test, unique } from "./lib.mjs";

const read = (stream, options) => collect(client.readStream(stream, options));
const revisions = async (stream, options) => (await read(stream, options)).map(({ event }) => Number(event.revision));

test("a deleted stream is gone, and can come again", async () => {
  const stream = unique("delete");
  await client.appendToStream(stream, events(3));
  const wrong = await failure(client.deleteStream(stream, { expectedRevision: 7n }));
  assert.ok(wrong instanceof WrongExpectedVersionError, String(wrong));
  assert.deepEqual([wrong.streamName, wrong.expectedVersion, wrong.actualVersion], [stream, 7n, 2n]);
  const { position } = await client.deleteStream(stream, { expectedRevision: 2n });
  assert.ok(position.commit > 0n);
  assert.ok((await failure(read(stream))) instanceof StreamNotFoundError);
  const again = await client.appendToStream(stream, events(2), { expectedRevision: NO_STREAM });
  assert.equal(again.nextExpectedRevision, 4n);
  assert.deepEqual(await revisions(stream), [3, 4]);
  assert.deepEqual(await revisions(stream, { direction: BACKWARDS, fromRevision: END }), [4, 3]);
  assert.ok((await failure(client.deleteStream(unique("never")))) instanceof WrongExpectedVersionError);
});

for (const [way, options] of Object.entries(ways)) {
  test(`a tombstone is for ever (${way})`, async () => {
    const stream = unique("tombstone");
    await client.appendToStream(stream, events(3), options);
    assert.ok((await failure(client.tombstoneStream(stream, { expectedRevision: 7n }))) instanceof WrongExpectedVersionError);
    const { position } = await client.tombstoneStream(stream, { expectedRevision: 2n });
    assert.ok(position.commit > 0n);
    for (const call of [
      () => read(stream),
      () => client.appendToStream(stream, events(1), options),
      () => client.appendToStream(stream, events(1), { ...options, expectedRevision: NO_STREAM }),
      () => client.deleteStream(stream),
      () => client.tombstoneStream(stream),
    ]) {
      const err = await failure(call());
      assert.ok(err instanceof StreamDeletedError, `${call}: ${err}`);
      assert.equal(err.streamName, stream);
    }
  });
}

test("a tombstone of what never was", async () => {
  const stream = unique("tombstone-none");
  await client.tombstoneStream(stream, { expectedRevision: NO_STREAM });
  assert.ok((await failure(read(stream))) instanceof StreamDeletedError);
});

test("metadata comes back as it went", async () => {
  const stream = unique("meta");
  assert.deepEqual(await client.getStreamMetadata(stream), { streamName: stream });
  const metadata = {
    maxCount: 17,
    maxAge: 3_600,
    truncateBefore: 3,
    cacheControl: 60,
    acl: { readRoles: ["reader", "$admins"], writeRoles: ["writer"], deleteRoles: ["$admins"], metaReadRoles: ["$all"], metaWriteRoles: ["$admins"] },
    owner: { name: "somebody", since: 2020 },
  };
  await client.setStreamMetadata(stream, metadata, { expectedRevision: NO_STREAM });
  assert.deepEqual((await client.getStreamMetadata(stream)).metadata, metadata);
  await client.setStreamMetadata(stream, { maxCount: 1 }, { expectedRevision: 0n });
  assert.deepEqual((await client.getStreamMetadata(stream)).metadata, { maxCount: 1 });
  assert.ok((await failure(client.setStreamMetadata(stream, {}, { expectedRevision: 0n }))) instanceof WrongExpectedVersionError);
});

test("$maxCount, $tb and $maxAge hide events", async () => {
  const stream = unique("hidden");
  await client.appendToStream(stream, events(10));
  await client.setStreamMetadata(stream, { maxCount: 4 });
  assert.deepEqual(await revisions(stream), [6, 7, 8, 9]);
  assert.deepEqual(await revisions(stream, { direction: BACKWARDS, fromRevision: END }), [9, 8, 7, 6]);
  assert.deepEqual(await revisions(stream, { fromRevision: 2n, maxCount: 2 }), [6, 7]);
  await client.appendToStream(stream, events(1), { expectedRevision: 9n });
  assert.deepEqual(await revisions(stream), [7, 8, 9, 10]);
  await client.setStreamMetadata(stream, { truncateBefore: 9 });
  assert.deepEqual(await revisions(stream), [9, 10]);
  await client.setStreamMetadata(stream, { maxCount: 1, truncateBefore: 9 });
  assert.deepEqual(await revisions(stream), [10]);
  await client.setStreamMetadata(stream, { truncateBefore: 99 });
  assert.deepEqual(await revisions(stream), []);
  await client.setStreamMetadata(stream, { maxAge: 3_600 });
  assert.equal((await read(stream)).length, 11);
  await client.setStreamMetadata(stream, {});
  assert.equal((await read(stream)).length, 11);
});

test("hidden events are in $all still", async () => {
  const stream = unique("hidden-all");
  const batch = events(5);
  await client.appendToStream(stream, batch);
  await client.deleteStream(stream);
  const all = await collect(client.readAll({ direction: BACKWARDS, fromPosition: END }));
  assert.deepEqual(idsOf(all.filter(({ event }) => event?.streamId === stream)).reverse(), idsOf(batch));
});

test("metadata brings a deleted stream back, but not its events", async () => {
  const stream = unique("delete-meta");
  await client.appendToStream(stream, events(3));
  await client.deleteStream(stream);
  await client.setStreamMetadata(stream, { cacheControl: 5 });
  assert.deepEqual(await revisions(stream), []);
  assert.deepEqual((await client.getStreamMetadata(stream)).metadata, { cacheControl: 5, truncateBefore: 3 });
  await client.appendToStream(stream, events(1));
  assert.deepEqual(await revisions(stream), [3]);
});
