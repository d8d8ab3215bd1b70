package node

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// FuzzEmptied: what a scavenge leaves of an event tells all but what it said,
// and stands in the chain of roots as the event did.
func FuzzEmptied(f *testing.F) {
	f.Add(stored("stream", 3, 12345, proposed{ID: uuid.UUID{1}, Type: "T", ContentType: jsonContent, Data: []byte("{}"), Metadata: []byte("m")}))
	f.Add(stored("", 0, 0, proposed{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := readRecord(1, b, nil)
		if err != nil || whole.emptied {
			return
		}
		left, err := emptied(b)
		if err != nil {
			t.Fatalf("%x was read but cannot be emptied: %v", b, err)
		}
		got, err := readRecord(1, left, nil)
		want := whole
		want.Data, want.Metadata, want.emptied = nil, nil, true
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v is left as %+v, %v", whole, got, err)
		}
		if leafOf(left) != leafOf(b) || (root{1}).next(left) != (root{1}).next(b) {
			t.Fatalf("%x and %x stand in the chain as something else", b, left)
		}
	})
}

// FuzzIndexKey: a key of the index that is read is the one that would be written.
func FuzzIndexKey(f *testing.F) {
	value := make([]byte, indexValLen)
	f.Add(appendIndexKey(nil, "order-1", 7), value)
	f.Add(appendIndexKey(nil, "", 0), value)
	f.Add([]byte("s\x00\x05abc"), value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		e, err := indexEntry(key, value)
		if err != nil || key[0] != streamKind {
			return
		}
		stream, err := streamOfKey(key)
		if err != nil {
			return
		}
		again := make([]byte, indexValLen)
		putIndexValue(again, e)
		if !bytes.Equal(appendIndexKey(nil, string(stream), e.revision), key) || !bytes.Equal(again, value) {
			t.Fatalf("%x is read as revision %d of %q", key, e.revision, stream)
		}
	})
}

// FuzzBlock: positions that are read from a block go up, and are written as
// something that reads the same.
func FuzzBlock(f *testing.F) {
	f.Add(encodeBlock([]uint64{1, 2, 300, 1 << 40}))
	f.Add([]byte{2, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}) // goes round
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		positions, err := decodeBlock(b)
		if err != nil {
			return
		}
		if len(positions) == 0 || len(positions) > maxBlock || positions[0] == 0 || !slices.IsSorted(positions) || len(slices.Compact(slices.Clone(positions))) != len(positions) {
			t.Fatalf("%x is read as %v", b, positions)
		}
		again, err := decodeBlock(encodeBlock(positions))
		if err != nil || !slices.Equal(again, positions) {
			t.Fatalf("%v is read again as %v, %v", positions, again, err)
		}
	})
}

// FuzzStreamMetadata: every key is understood for itself, as the model does.
func FuzzStreamMetadata(f *testing.F) {
	for _, seed := range []string{`{"$tb":3,"$maxCount":2,"$maxAge":60}`, softDeletedMetadata, `{"$tb":"3","$maxAge":1e3}`, `{"$TB":1,"$tb":-1}`, `null`, `{}{}`, `{"$maxAge":9223372036854775807}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, want := parseMetadata(data), readModelMetadata(data)
		if int64(got.truncateBefore) != want.truncateBefore || int64(got.maxCount) != want.maxCount ||
			got.maxAge != time.Duration(min(want.maxAge, maxAgeSeconds))*time.Second {
			t.Fatalf("%s is read as %+v, the model says %+v", data, got, want)
		}
	})
}

// FuzzPlace: of how far a group is, only what is written is read.
func FuzzPlace(f *testing.F) {
	for _, seed := range []string{"0", "12", "-1", "C:5/P:5", "C:5/P:6", "18446744073709551615", "5 ", "+5", "05", "5x", ""} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, all bool) {
		c := groupConfig{Stream: "s"}
		if all {
			c.Stream = allStream
		}
		if next, err := c.parsePlace(text); err == nil && c.formatPlace(next) != text {
			t.Fatalf("%q is read as %d, which is %q", text, next, c.formatPlace(next))
		}
	})
}

// FuzzGroupConfigs: settings that are read and make sense can be worked with, and
// are kept as they are.
func FuzzGroupConfigs(f *testing.F) {
	some := someGroup(allStream, pinned)
	some.Filter = &groupFilter{ByType: true, Regex: "^a", Prefixes: []string{"b"}}
	seed, err := json.Marshal(groupConfigs{Version: groupConfigVersion, Entries: []groupConfig{some, someGroup("s", roundRobin)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"version":"kicau-1","entries":[{"stream":"$all","group":"","filter":{"regex":"("}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		configs, err := parseGroupConfigs(data)
		if err != nil {
			return
		}
		written, err := json.Marshal(groupConfigs{Version: groupConfigVersion, Entries: configs})
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseGroupConfigs(written)
		if err != nil || !reflect.DeepEqual(again, configs) {
			t.Fatalf("%+v is read again as %+v, %v", configs, again, err)
		}
		for _, c := range configs {
			if c.check() != nil {
				continue
			}
			if c.buffer() < 1 || c.consumers() < 1 || c.messageTimeout() < 0 {
				t.Fatalf("%+v cannot be worked with", c)
			}
			if passes, err := c.Filter.compile(); err == nil {
				_, _ = passes("stream", "type")
			}
		}
	})
}

// FuzzPrefixes: a filter without an expression passes what begins with one of its
// prefixes; with one, it does not end the process whatever the expression is.
func FuzzPrefixes(f *testing.F) {
	f.Add("", "order-", "$", "order-1")
	f.Add(`(a+)+$`, "", "", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab")
	f.Add(`(?<x>a)\k<x>(?(x)b|c)`, "a", "", "aab")
	f.Fuzz(func(t *testing.T, expr, one, other, text string) {
		match, err := parseExpression(&expression{Regex: expr, Prefix: []string{one, other}})
		if err != nil {
			return
		}
		got, err := match(text)
		if want := strings.HasPrefix(text, one) || strings.HasPrefix(text, other); expr == "" && (err != nil || got != want) {
			t.Fatalf("%q with prefixes %q and %q: %v, %v", text, one, other, got, err)
		}
	})
}

// FuzzUsers: users that are read are who they are when they are written and read
// again, each once.
func FuzzUsers(f *testing.F) {
	hash := nobody.String()
	f.Add([]byte(`{"users":[{"name":"anna","groups":["$admins","staff"],"password":"` + hash + `"},{"name":"b","groups":null,"password":"","disabled":true}]}`))
	f.Add([]byte(`{"users":[{"name":"a:b"}]} {}`))
	f.Add([]byte(`{"Users":[{"NAME":"a"}],"users":[{"groups":["$x"]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		users, err := parseUsers("users", data)
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, u := range users {
			if names[u.Name] || u.Name == "" || strings.ContainsAny(u.Name, ":\n") || strings.HasPrefix(u.Name, "$") {
				t.Fatalf("%s has a user %q", data, u.Name)
			}
			names[u.Name] = true
		}
		written, err := json.Marshal(usersFile{Users: users})
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseUsers("users", written)
		if err != nil || !reflect.DeepEqual(again, users) {
			t.Fatalf("%+v is read again as %+v, %v", users, again, err)
		}
	})
}

// FuzzPasswordHash: a hash that is read has costs that a node can pay, and is
// written as one that reads the same.
func FuzzPasswordHash(f *testing.F) {
	f.Add(nobody.String())
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=+8,t= 1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHash(text)
		if err != nil {
			return
		}
		if h.memory > 1<<20 || h.time < 1 || h.time > 16 || h.threads < 1 || h.threads > 16 || h.memory < 8*uint32(h.threads) {
			t.Fatalf("%q costs %+v", text, h)
		}
		if again, err := parseHash(h.String()); err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%q is read again as %+v, %v", text, again, err)
		}
	})
}
