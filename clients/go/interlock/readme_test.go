package interlock_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A block of the README that names a file is cut from there, at any indentation.
var block = regexp.MustCompile("(?ms)^```go (\\S+)\n(.*?)^```$")

func TestTheReadmeIsCutFromWhatCompiles(t *testing.T) {
	readme := read(t, "README.md")
	blocks := block.FindAllStringSubmatch(readme, -1)
	if len(blocks) < 8 || len(blocks) != strings.Count(readme, "```go") {
		t.Fatalf("%d blocks name their file", len(blocks))
	}
	for _, one := range blocks {
		path, ok := strings.CutPrefix(one[1], "clients/go/")
		if source := read(t, path); !ok || !strings.Contains(flat(source), flat(one[2])) {
			t.Errorf("%s does not have this block:\n%s", one[1], one[2])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// flat is a text without its indentation.
func flat(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimLeft(line, "\t")
	}
	return strings.Join(lines, "\n")
}
