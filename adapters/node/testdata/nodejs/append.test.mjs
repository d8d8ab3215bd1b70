import assert from "node:assert/strict";
import {
  ANY,
  binaryEvent,
  jsonEvent,
  MaxAppendSizeExceededError,
  NO_STREAM,
  STREAM_EXISTS,
  WrongExpectedVersionError,
} from "@eventstore/db-client";
import { client, events, ways } from "./client.mjs";
import { collect, failure, idsOf, test, unique } from "./lib.mjs";

for (const [way, options] of Object.entries(ways)) {
  const append = (stream, what, expectedRevision) =>
    client.appendToStream(stream, what, { expectedRevision, ...options });

  test(`${way}: every expected revision`, async () => {
    const stream = unique("expected");
    const first = await append(stream, events(1), NO_STREAM);
    assert.equal(first.success, true);
    assert.equal(first.nextExpectedRevision, 0n);
    const second = await append(stream, events(3), first.nextExpectedRevision);
    assert.equal(second.nextExpectedRevision, 3n);
    assert.ok(second.position.commit > first.position.commit);
    assert.equal(second.position.prepare, second.position.commit);
    assert.equal((await append(stream, events(1), STREAM_EXISTS)).nextExpectedRevision, 4n);
    assert.equal((await append(stream, events(1), ANY)).nextExpectedRevision, 5n);
    const read = await collect(client.readStream(stream));
    assert.deepEqual(read.map(({ event }) => event.revision), [0n, 1n, 2n, 3n, 4n, 5n]);
    assert.equal(read[3].event.position.commit, second.position.commit);
  });

  test(`${way}: a conflict says what was expected and what is there`, async () => {
    const stream = unique("conflict");
    const refused = async (expected, actual) => {
      const err = await failure(append(stream, events(1), expected));
      assert.ok(err instanceof WrongExpectedVersionError, String(err));
      assert.equal(err.streamName, stream);
      assert.equal(err.expectedVersion, expected);
      assert.equal(err.actualVersion, actual);
    };
    await refused(STREAM_EXISTS, NO_STREAM);
    await refused(7n, NO_STREAM);
    await append(stream, events(3), ANY);
    await refused(NO_STREAM, 2n);
    await refused(1n, 2n);
    await refused(3n, 2n);
    assert.equal((await collect(client.readStream(stream))).length, 3);
  });

  test(`${way}: the same again is the same answer`, async () => {
    for (const expected of [NO_STREAM, ANY]) {
      const stream = unique("again");
      const batch = events(3);
      const first = await append(stream, batch, expected);
      await append(stream, events(2), ANY);
      const again = await append(stream, batch, expected);
      assert.equal(again.success, true);
      assert.equal(again.nextExpectedRevision, first.nextExpectedRevision);
      const read = await collect(client.readStream(stream));
      assert.equal(read.length, 5);
      assert.deepEqual(idsOf(read).slice(0, 3), idsOf(batch));
    }
  });

  test(`${way}: JSON and binary come back as they went`, async () => {
    const stream = unique("content");
    const json = jsonEvent({
      type: "größe",
      data: { text: "naïve ☕", nested: [1, null, true] },
      metadata: { $correlationId: "c-1", who: "me" },
    });
    const binary = binaryEvent({
      type: "raw",
      data: Uint8Array.of(0, 255, 128, 7),
      metadata: Uint8Array.of(1, 2, 3),
    });
    const bare = jsonEvent({ type: "bare", data: "just a string" });
    await append(stream, [json, binary, bare], NO_STREAM);
    const [j, b, s] = (await collect(client.readStream(stream))).map(({ event }) => event);
    assert.deepEqual([j.id, j.type, j.isJson, j.data, j.metadata], [json.id, json.type, true, json.data, json.metadata]);
    assert.deepEqual([b.id, b.type, b.isJson], [binary.id, binary.type, false]);
    assert.deepEqual([...b.data], [0, 255, 128, 7]);
    assert.deepEqual([...b.metadata], [1, 2, 3]);
    assert.deepEqual([s.data, s.metadata, s.streamId], ["just a string", undefined, stream]);
    assert.ok(Math.abs(Date.now() - j.created.getTime()) < 600_000, String(j.created));
  });

  test(`${way}: too much at once is refused, all of it`, async () => {
    const stream = unique("large");
    const much = Array.from({ length: 50 }, () => jsonEvent({ type: "much", data: "x".repeat(25_000) }));
    const err = await failure(append(stream, much, NO_STREAM));
    assert.ok(err instanceof MaxAppendSizeExceededError, String(err));
    assert.equal(err.maxAppendSize, 1024 * 1024);
    const one = binaryEvent({ type: "one", data: new Uint8Array(1024 * 1024) });
    assert.ok((await failure(append(stream, [one], ANY))) instanceof MaxAppendSizeExceededError);
    const most = binaryEvent({ type: "most", data: new Uint8Array(1024 * 1024 - 2 * "most".length) });
    assert.equal((await append(stream, [most], NO_STREAM)).nextExpectedRevision, 0n);
  });

  test(`${way}: many at once, to one stream and to many`, async () => {
    const streams = Array.from({ length: 10 }, () => unique("many"));
    await Promise.all(streams.flatMap((s) => Array.from({ length: 10 }, () => append(s, events(5), ANY))));
    for (const stream of streams) {
      const read = await collect(client.readStream(stream));
      assert.equal(read.length, 50);
      assert.equal(new Set(idsOf(read)).size, 50);
    }
  });
}

test("an append of nothing", async () => {
  const stream = unique("nothing");
  const result = await client.appendToStream(stream, [], { ...ways.append, expectedRevision: NO_STREAM });
  assert.equal(result.success, true);
  assert.equal(result.position, undefined);
});

test("a large append comes in chunks", async () => {
  const stream = unique("chunks");
  const batch = events(2_000);
  const { nextExpectedRevision } = await client.appendToStream(stream, batch, { batchAppendSize: 1_000 });
  assert.equal(nextExpectedRevision, 1_999n);
  assert.deepEqual(idsOf(await collect(client.readStream(stream))), idsOf(batch));
});
