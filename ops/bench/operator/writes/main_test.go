package main

import "testing"

func TestFillNamesTheItemAndItsUID(t *testing.T) {
	got := fill("/n/@NS@/x/@NAME@-keys?@UID@", item{"a", "b"}, "c")
	if got != "/n/a/x/b-keys?c" {
		t.Fatal(got)
	}
}
