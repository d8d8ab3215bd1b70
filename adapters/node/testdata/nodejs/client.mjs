// The client for EventStoreDB. (That of its successor cannot be in one process
// with it: both name their messages the same.)
import { after } from "node:test";
import { EventStoreDBClient, jsonEvent } from "@eventstore/db-client";

export const client = EventStoreDBClient.connectionString(process.env.ESDB);
after(() => client.dispose());

// With credentials of its own the client appends by Append, without by
// BatchAppend; the two must not differ.
export const ways = {
  "batch append": {},
  append: { credentials: { username: "admin", password: "changeit" } },
};

export const events = (count, type = "placed") =>
  Array.from({ length: count }, (_, n) => jsonEvent({ type, data: { n } }));
