import assert from "node:assert/strict";
import {
  BACKWARDS,
  binaryEvent,
  END,
  FORWARDS,
  START,
  StreamNotFoundError,
} from "@eventstore/db-client";
import { client, events } from "./client.mjs";
import { collect, failure, idsOf, test, unique } from "./lib.mjs";

test("a stream, both ways, from anywhere, within limits", async () => {
  const stream = unique("read");
  const ids = idsOf(await append(stream, 100));
  const read = async (options) => idsOf(await collect(client.readStream(stream, options)));
  const back = [...ids].reverse();
  assert.deepEqual(await read(), ids);
  assert.deepEqual(await read({ direction: FORWARDS, fromRevision: START, maxCount: 10 }), ids.slice(0, 10));
  assert.deepEqual(await read({ fromRevision: 40n, maxCount: 50 }), ids.slice(40, 90));
  assert.deepEqual(await read({ fromRevision: 99n }), ids.slice(99));
  assert.deepEqual(await read({ fromRevision: 100n }), []);
  assert.deepEqual(await read({ fromRevision: END }), []);
  assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: END }), back);
  assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: END, maxCount: 1 }), back.slice(0, 1));
  assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: 9n }), back.slice(90));
  assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: START }), back.slice(99));
});

test("a stream that is not there", async () => {
  const stream = unique("missing");
  for (const direction of [FORWARDS, BACKWARDS]) {
    const err = await failure(collect(client.readStream(stream, { direction, fromRevision: direction === FORWARDS ? START : END })));
    assert.ok(err instanceof StreamNotFoundError, String(err));
    assert.equal(err.streamName, stream);
  }
});

test("$all, both ways, from anywhere, within limits", async () => {
  const stream = unique("all");
  const ids = idsOf(await append(stream, 50));
  const mine = ({ event }) => event?.streamId === stream;
  const forwards = await collect(client.readAll());
  assert.deepEqual(idsOf(forwards.filter(mine)), ids);
  const backwards = await collect(client.readAll({ direction: BACKWARDS, fromPosition: END }));
  assert.deepEqual(idsOf(backwards.filter(mine)), [...ids].reverse());

  // Forwards from a position is with the event there, backwards without it.
  const { position } = forwards.filter(mine)[10].event;
  const from = await collect(client.readAll({ fromPosition: position, maxCount: 5 }));
  assert.equal(from.length, 5);
  assert.equal(from[0].event.id, ids[10]);
  const before = await collect(client.readAll({ direction: BACKWARDS, fromPosition: position }));
  assert.deepEqual(idsOf(before.filter(mine)), ids.slice(0, 10).reverse());
  assert.deepEqual(await collect(client.readAll({ fromPosition: END })), []);
  assert.deepEqual(await collect(client.readAll({ direction: BACKWARDS, fromPosition: START })), []);
  assert.equal((await collect(client.readAll({ maxCount: 1 }))).length, 1);
});

test("links are resolved when that is asked for", async () => {
  const [target, index] = [unique("target"), unique("index")];
  const [first] = idsOf(await append(target, 2));
  const link = (data) => binaryEvent({ type: "$>", data: new TextEncoder().encode(data) });
  const links = [link(`0@${target}`), link(`7@${target}`), link("nonsense")];
  await client.appendToStream(index, links);

  const plain = await collect(client.readStream(index));
  assert.deepEqual(plain.map(({ event, link }) => [event.id, link]), links.map(({ id }) => [id, undefined]));

  for (const options of [{}, { direction: BACKWARDS, fromRevision: END }]) {
    const resolved = await collect(client.readStream(index, { resolveLinkTos: true, ...options }));
    if (options.direction) resolved.reverse();
    const [found, gone, none] = resolved;
    assert.deepEqual([found.event.id, found.event.streamId, found.event.revision], [first, target, 0n]);
    assert.deepEqual([found.link.id, found.link.streamId, found.link.revision], [links[0].id, index, 0n]);
    assert.equal(found.commitPosition, found.link.position.commit);
    assert.deepEqual([gone.event, gone.link.id], [undefined, links[1].id]);
    assert.deepEqual([none.event.id, none.link], [links[2].id, undefined]);
  }
  const all = await collect(client.readAll({ resolveLinkTos: true, direction: BACKWARDS, fromPosition: END }));
  assert.equal(all.find((e) => e.link?.id === links[0].id).event.id, first);
});

test("index streams, their projections switched on first", async () => {
  const type = unique("type").replaceAll("-", "");
  const category = unique("category").replaceAll("-", "");
  for (const name of ["$by_category", "$by_event_type", "$streams", "$stream_by_category", "$by_correlation_id"]) {
    await client.enableProjection(name);
    assert.equal((await client.getProjectionStatus(name)).projectionStatus, "Running");
  }
  assert.equal((await client.listProjections()).length, 5);
  const batch = events(4, type);
  await client.appendToStream(`${category}-1`, batch.slice(0, 2));
  await client.appendToStream(`${category}-2`, batch.slice(2));
  for (const stream of [`$ce-${category}`, `$et-${type}`]) {
    const got = await collect(client.readStream(stream, { resolveLinkTos: true }));
    assert.deepEqual(got.map(({ event }) => event.id), idsOf(batch));
    assert.ok(got.every(({ link }, n) => link.streamId === stream && link.revision === BigInt(n)));
  }
});

test("a reader who leaves early", async () => {
  const stream = unique("early");
  await append(stream, 1_000);
  for (let i = 0; i < 20; i++) {
    for await (const { event } of client.readStream(stream)) {
      if (event.revision === 3n) break;
    }
  }
  assert.equal((await collect(client.readStream(stream, { maxCount: 1 }))).length, 1);
});

async function append(stream, count) {
  const batch = events(count);
  await client.appendToStream(stream, batch);
  return batch;
}
