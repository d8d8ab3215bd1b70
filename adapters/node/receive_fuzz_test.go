package node

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FuzzReceiveBackup: whatever the parts of a stream are, nothing is written
// outside of the directory, and what is taken for a backup is one whose files are
// as its manifest says.
func FuzzReceiveBackup(f *testing.F) {
	content := []byte("abc")
	whole := Manifest{Format: backupFormat, Files: []ManifestFile{{"log/000001.sst", 3, sumOfBytes(content)}, {"checkpoint", 3, sumOfBytes(content)}}}
	manifest, err := json.Marshal(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("log/000001.sst", content, byte(tar.TypeReg), "checkpoint", manifestName, manifest)
	f.Add("../log/1", content, byte(tar.TypeReg), "log/LOCK", "checkpoint", manifest)
	f.Add("log/a/b", []byte("../../x"), byte(tar.TypeSymlink), "log/..", manifestName, []byte(`{"format":1,"files":[{"name":"../x"}]}`))
	f.Fuzz(func(t *testing.T, first string, content []byte, kind byte, second, last string, manifest []byte) {
		var stream bytes.Buffer
		out := tar.NewWriter(&stream)
		for i, name := range []string{first, second, last} {
			h, b := &tar.Header{Name: name, Typeflag: tar.TypeReg}, content
			switch i {
			case 0:
				h.Typeflag = kind
			case 2:
				b = manifest
			}
			if h.Size = int64(len(b)); h.Typeflag != tar.TypeReg {
				h.Size, h.Linkname, b = 0, string(b), nil
			}
			if out.WriteHeader(h) != nil {
				return // no tar can hold that
			}
			if _, err := out.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		fs := vfs.NewMem()
		m, err := receiveBackup(t.Context(), fs, &stream, "in/copy", nil)
		written := filesOf(t, fs, "")
		for _, path := range written {
			if path != "in/copy/"+manifestName && !backupFileName.MatchString(path[len("in/copy/"):]) {
				t.Fatalf("%s was written", path)
			}
		}
		if err != nil {
			return
		}
		if len(written) != len(m.Files)+1 {
			t.Fatalf("%d files, and %+v", len(written), m)
		}
		read, buf := putter{ctx: t.Context()}, make([]byte, 64)
		for _, file := range m.Files {
			if sum, err := sendFile(t.Context(), fs, "in/copy/"+file.Name, &read, buf); err != nil || sum != file.SHA256 {
				t.Fatalf("%s: %v", file.Name, err)
			}
		}
	})
}

func sumOfBytes(b []byte) string {
	h := sha256.New()
	h.Write(b)
	return sumOf(h)
}
