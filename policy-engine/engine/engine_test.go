package engine

import (
	"strings"
	"testing"
)

func judge(t *testing.T, language, source, document string) Verdict {
	t.Helper()
	return New().Evaluate(Policy{Language: language, Source: source}, Document(document))
}

const module = "package sigstore\n"

// What policies may not do: each would be a way out of the sandbox.
func TestPoliciesReachNothingOutside(t *testing.T) {
	for name, c := range map[string]struct{ language, source, says string }{
		"rego: HTTP":        {"rego", module + `isCompliant { http.send({"method": "get", "url": "http://127.0.0.1"}).status_code == 200 }`, "undefined function http.send"},
		"rego: DNS":         {"rego", module + `isCompliant { net.lookup_ip_addr("localhost") }`, "undefined function net.lookup_ip_addr"},
		"rego: environment": {"rego", module + `isCompliant { opa.runtime().env }`, "undefined function opa.runtime"},
		"cue: module":       {"cue", `import "example.com/x"` + "\na: x.y", "failed to compile the cue policy"},
		"cue: registry":     {"cue", `import "example.com/x@v1"` + "\na: x.y", "failed to compile the cue policy"},
		"cel: authorizer":   {"cel", `authorizer.path("/").check("get").allowed()`, "undeclared reference to 'authorizer'"},
	} {
		t.Run(name, func(t *testing.T) {
			engine := New()
			policy := Policy{Language: c.language, Source: c.source}
			for _, verdict := range []Verdict{engine.Check(policy), engine.Evaluate(policy, Document("{}"))} {
				if verdict.Kind != Rejected || !strings.Contains(verdict.Message, c.says) {
					t.Errorf("%s %q", verdict.Kind, verdict.Message)
				}
			}
		})
	}
}

// A file that CUE's @embed names is not read: embedding is not enabled.
func TestCUEEmbedsNoFile(t *testing.T) {
	verdict := judge(t, "cue", "@extern(embed)\na: string @embed(file=\"/etc/hostname\", type=text)\na: \"cannot be\"", "{}")
	if strings.Contains(verdict.Message, "conflicting") {
		t.Errorf("the file was read: %q", verdict.Message)
	}
}

func TestCheckCompilesOnly(t *testing.T) {
	for name, c := range map[string]struct{ language, source, says string }{
		"cue":                 {"cue", `predicate: Data: "x"`, ""},
		"cue: broken":         {"cue", `a: b`, `failed to compile the cue policy with error: a: reference "b" not found`},
		"rego":                {"rego", module + `isCompliant { input.a }`, ""},
		"rego: broken":        {"rego", module + `isCompliant {`, "rego_parse_error"},
		"cel":                 {"cel", `has(predicate.a) && self.predicate.a == "x"`, ""},
		"cel: broken":         {"cel", `predicate.`, "failed to compile the cel policy with error: ERROR: <input>:1:11"},
		"cel: gives a number": {"cel", `1 + 1`, "it gives int: a policy gives a bool"},
		"cel: unknown":        {"cel", `specs.replicas > 1`, "undeclared reference to 'specs'"},
		"another language":    {"jsonnet", `true`, "sorry Type jsonnet is not supported yet"},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := New().Check(Policy{Language: c.language, Source: c.source})
			if (verdict.Kind == Compliant) != (c.says == "") || !strings.Contains(verdict.Message, c.says) {
				t.Errorf("%s %q", verdict.Kind, verdict.Message)
			}
		})
	}
}

func TestVerdictsThatMayBeRemembered(t *testing.T) {
	for name, c := range map[string]struct {
		language, source string
		repeatable       bool
	}{
		"cue":             {"cue", `a: 1`, true},
		"cel":             {"cel", `true`, true},
		"rego":            {"rego", module + `isCompliant { input.a == 1 }`, true},
		"rego: clock":     {"rego", module + `isCompliant { time.now_ns() > 0 }`, false},
		"rego: chance":    {"rego", module + `isCompliant { rand.intn("x", 10) >= 0 }`, false},
		"rego: in a rule": {"rego", module + "isCompliant { old }\nold { time.now_ns() > 0 }", false},
		"rego: in a set":  {"rego", module + "isCompliant { count([x | x := time.now_ns()]) == 1 }", false},
		"rego: renamed":   {"rego", module + "import data.sigstore.f as g\nf(x) = y { y := uuid.rfc4122(x) }\nisCompliant { g(\"a\") != \"\" }", false},
		"rego: with":      {"rego", module + "one(_) = 1\nisCompliant { abs(1) == 1 with abs as one }", true},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := judge(t, c.language, c.source, `{"a":1}`)
			if verdict.Kind != Compliant || verdict.Repeatable != c.repeatable {
				t.Errorf("%+v", verdict)
			}
		})
	}
}

func TestALongMessageIsCutAtARune(t *testing.T) {
	verdict := judge(t, "cel", `self.text`, `{"text":"x`+strings.Repeat("é", MaxMessage)+`"}`)
	if len(verdict.Message) > MaxMessage+len("…") || !strings.HasSuffix(verdict.Message, "é…") {
		t.Errorf("%d bytes, ends with %q", len(verdict.Message), verdict.Message[len(verdict.Message)-8:])
	}
}

func TestAPanicIsNoVerdict(t *testing.T) {
	engine := &Engine{languages: map[string]language{"bad": panicking{}}}
	for _, verdict := range []Verdict{engine.Check(Policy{Language: "bad"}), engine.Evaluate(Policy{Language: "bad"}, Document("{}"))} {
		if verdict.Kind != Undecided || verdict.Repeatable || verdict.Message != "the policy engine failed: oh" {
			t.Errorf("%+v", verdict)
		}
	}
}

type panicking struct{}

func (panicking) check(string) error                      { panic("oh") }
func (panicking) evaluate(string, document) (error, bool) { panic("oh") }

// The cache forgets, and what it forgot compiles again.
func TestManyPolicies(t *testing.T) {
	engine := New()
	for round := range 2 {
		for i := range cacheSize + 10 {
			source := module + "isCompliant { input.a == 1 }" + strings.Repeat(" ", i)
			if verdict := engine.Evaluate(Policy{Language: "rego", Source: source}, Document(`{"a":1}`)); verdict.Kind != Compliant {
				t.Fatalf("round %d: %+v", round, verdict)
			}
		}
	}
	if held := len(engine.languages["rego"].(*regoLanguage).prepared.entries); held != cacheSize {
		t.Errorf("%d policies are held", held)
	}
}
