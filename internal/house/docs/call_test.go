package docs

import "testing"

func checkCall(t testing.TB, b block) { t.Fatal("not yet") }
