// Package node is the embedded event store: an engine on Pebble, the log's port
// for use in process, and EventStoreDB's gRPC protocol for everybody else.
//
// Its laws:
//   - what was acknowledged is there at the next start, the same bytes at the
//     same place, or there is no next start: the log is refused;
//   - what can be read is durable and promised: a reader never sees an event
//     that can vanish;
//   - the events of an append are all there or none is;
//   - positions are dense from 1, revisions are dense from 0 in each stream,
//     recorded time never goes back;
//   - an append that is said again is done once (rules.go says how far that
//     goes when no revision was named);
//   - nothing is overwritten or deleted; deleted streams are only hidden, until a
//     scavenge takes away what no reader can see (scavenge.go);
//   - a message leaves a persistent subscription when a consumer has dealt with
//     it, or in the append that parks it.
//
// The engine, bottom-up: how an event is stored (record.go) under which keys
// (keys.go); the chain of roots over all stored bytes (chain.go) and the file
// outside Pebble that promises it and keeps the newest batches (checkpoint.go,
// checkpoint_file.go; checkpoint_old.go reads its first format); the one writer
// (committer.go) with what it remembers of streams (heads.go), by which rules it
// decides (rules.go) and what it writes (perform.go); readers (reader.go,
// index.go, streams.go) and those who wait (tip.go); a start (store.go,
// recover.go). Beside it the index behind the index streams (postings_names.go,
// postings.go), and what verifies all of it (verify.go, verify_index.go).
// engine.go is what the rest of the package sees of it.
//
// Persistent subscriptions are written against the engine, too: what a group was
// made with (group_config.go), a group at work (group.go), which reads
// (group_read.go), chooses consumers (group_strategy.go), keeps what it must not
// forget (group_store.go) and replays what it parked (group_parked.go); all of
// them (groups.go), in process (group_port.go) and over the protocol
// (server_groups.go, server_groups_read.go).
//
// The operator's side: a backup of a running log (backup.go), received
// (receive.go), saved under its name (save.go), verified and restored
// (restore.go); a copy to another event store (copy.go and those beside it); all
// of that over HTTP (server_admin.go) and a client for it (admin.go).
//
// Served to others, each call has a caller (users.go, users_login.go,
// server_auth.go) and may do what access lists say (access.go); what goes on can
// be watched (meters.go, server_meters.go). Callers in this process are trusted.
//
// Trust: without Pebble's files, or without the checkpoint, the log does not
// open, and only a copy helps: keep copies, and [Node.Verify] them. Who can
// write to the directory can forge both together; that is what the signed
// checkpoints of adapters/proof are for. A single node finds damage but cannot
// repair it, beyond what the checkpoint still has of the newest events.
package node
