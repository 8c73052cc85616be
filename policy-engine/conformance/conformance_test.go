// Package conformance compares the engine's verdicts, messages and statements with the code that sigstore's policy-controller runs: cosign's
// pkg/policy, as version 2.6 has it. (That of 3.0 is the same; 3.1 evaluates no policies any more.) CUE and OPA are of the versions that the
// engine has. A module of its own, so that the engine does not depend on cosign.
package conformance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sigstore/cosign/v2/pkg/policy"

	"entrepot.dev/policy-engine/engine"
)

var prefixes = map[string]string{
	"cue":  "failed evaluating cue policy for test: ",
	"rego": "failed evaluating rego policy for type test: ",
}

// cosign gives the verdict of policy-controller: an error refuses, and so does a warning.
func cosign(language, source string, document []byte) engine.Verdict {
	warning, err := policy.EvaluatePolicyAgainstJSON(context.Background(), "test", language, source, document)
	if err == nil {
		err = warning
	}
	if err == nil {
		return engine.Verdict{Kind: engine.Compliant}
	}
	return engine.Verdict{Kind: engine.Rejected, Message: strings.TrimPrefix(err.Error(), prefixes[language])}
}

func TestVerdictsAreCosigns(t *testing.T) {
	ours := engine.New()
	for name, c := range verdicts {
		t.Run(name, func(t *testing.T) {
			want := cosign(c.language, c.source, []byte(c.document))
			got := ours.Evaluate(engine.Policy{Language: c.language, Source: c.source}, engine.Document(c.document))
			if got.Kind != want.Kind || got.Message != want.Message {
				t.Errorf("got %s %q\nwant %s %q", got.Kind, got.Message, want.Kind, want.Message)
			}
			if c.message != "" && want.Message != c.message {
				t.Errorf("cosign says %q, the table %q", want.Message, c.message)
			}
			if (want.Kind == engine.Compliant) != c.compliant {
				t.Errorf("cosign: %s", want.Kind)
			}
		})
	}
}

// The policy accepts nothing but what cosign shows.
func TestStatementsAreShownAsByCosign(t *testing.T) {
	ours := engine.New()
	for name, c := range statementCases {
		t.Run(name, func(t *testing.T) {
			want, _, err := policy.AttestationToPayloadJSON(context.Background(), c.predicateType, envelope(c.statement))
			equal := engine.Policy{Language: "rego", Source: "package sigstore\nisCompliant { input == " + orNull(want) + " }"}
			got := ours.Evaluate(equal, engine.Statement{PredicateType: c.predicateType, JSON: []byte(c.statement)})
			switch {
			case err != nil:
				if got.Kind != engine.Rejected || withoutType(got.Message) != withoutType(err.Error()) {
					t.Errorf("got %s %q\nwant rejected %q", got.Kind, got.Message, err)
				}
			case want == nil:
				if got.Kind != engine.Rejected || !strings.Contains(got.Message, "the predicate type of the statement is") {
					t.Errorf("a statement of another type: %s %q", got.Kind, got.Message)
				}
			default:
				if got.Kind != engine.Compliant {
					t.Errorf("%s %q\nwant %s", got.Kind, got.Message, want)
				}
				if c.shown != "" && !sameJSON(t, want, []byte(c.shown)) {
					t.Errorf("cosign shows %s", want)
				}
			}
		})
	}
}

// withoutType cuts off the name of a Go type that JSON does not fit: the statement's own is generic here.
func withoutType(message string) string {
	kept, _, _ := strings.Cut(message, "into Go value of type")
	return kept
}

func orNull(text []byte) string {
	if text == nil {
		return "null"
	}
	return string(text)
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		t.Fatalf("no JSON: %s or %s", a, b)
	}
	return reflect.DeepEqual(x, y)
}

// envelope is an attestation as cosign's function takes it: a DSSE envelope with the statement.
type envelope string

func (e envelope) Payload() ([]byte, error) {
	return json.Marshal(map[string]string{"payload": base64.StdEncoding.EncodeToString([]byte(e))})
}
