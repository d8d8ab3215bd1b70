// What the programs here share, whichever client they use.
import { test as run } from "node:test";
import { randomUUID } from "node:crypto";

// A program waits for what it is promised; one that waits in vain fails.
const patience = { timeout: 30_000 };
export const test = (name, fn) => run(name, patience, fn);

// All programs of a file talk to one server, so names are used once.
export const unique = (name) => `${name}-${randomUUID()}`;

// What a promise is rejected with.
export const failure = (promise) =>
  promise.then(
    () => Promise.reject(new Error("it should have failed")),
    (err) => err,
  );

export async function collect(read) {
  const all = [];
  for await (const resolved of read) all.push(resolved);
  return all;
}

// Ids of events made, or of those read: a link's when there is one.
export const idsOf = (list) => list.map((e) => e.id ?? (e.link ?? e.event).id);

// What a subscription hands over until the count is reached; it ends with that.
export async function take(subscription, count) {
  const all = [];
  for await (const resolved of subscription) {
    all.push(resolved);
    if (all.length === count) break;
  }
  await subscription.unsubscribe();
  return all;
}

// The next time something happens to a subscription.
export const next = (subscription, name) =>
  new Promise((resolve, reject) => {
    subscription.once(name, resolve);
    if (name !== "error") subscription.once("error", reject);
  });
