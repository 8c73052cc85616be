// Package engine judges documents by policies in CUE, Rego and CEL, in the words of sigstore's tools.
package engine

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Policy is the text of a policy and the language it is written in.
type Policy struct {
	Language string
	Source   string
}

// Input is what a policy is shown: a Document or a Statement.
type Input interface {
	shown() (document, error)
}

// Document is JSON that is shown as it is.
type Document []byte

// Statement is an in-toto statement, which is brought into the form that cosign shows to policies first.
type Statement struct {
	// PredicateType is the type that the ClusterImagePolicy asks for, as it writes it: `vuln`, or a URI.
	PredicateType string
	JSON          []byte
}

func (d Document) shown() (document, error) {
	return document{json: d}, nil
}

func (s Statement) shown() (document, error) {
	converted, err := statementFor(s.PredicateType, s.JSON)
	return document{json: converted, attestation: true}, err
}

// Kind is what became of a request.
type Kind string

const (
	// Compliant: the policy accepts the input.
	Compliant Kind = "compliant"
	// Rejected: the policy does not accept the input, or does not compile.
	Rejected Kind = "rejected"
	// Undecided: the engine itself failed.
	Undecided Kind = "undecided"
)

// Verdict is the answer to a request.
type Verdict struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	// Repeatable: the same policy and input give the same verdict at any time. False where a policy reads the clock or chance.
	Repeatable bool `json:"repeatable"`
}

// MaxMessage is how long a message may be, in bytes; the rest is cut off.
const MaxMessage = 8 << 10

// language is one of the three. Errors are the policy's or the input's; their text is shown to users.
type language interface {
	check(source string) error
	// evaluate gives nil if the input complies, else why not; and whether the same input will always be judged the same.
	evaluate(source string, input document) (rejection error, repeatable bool)
}

// document is an input in its final form.
type document struct {
	json        []byte
	attestation bool
}

// Engine keeps compiled policies. It serves one request at a time.
type Engine struct {
	languages map[string]language
}

// New returns an engine that has compiled nothing yet.
func New() *Engine {
	return &Engine{languages: map[string]language{"cue": cueLanguage{}, "rego": newRego(), "cel": newCEL()}}
}

// Warm judges one document in each language, so that the first requests take no longer than later ones.
func (e *Engine) Warm() {
	for language, source := range map[string]string{"cue": "a: 1", "rego": "package sigstore\nisCompliant { input.a == 1 }", "cel": "self.a == 1"} {
		e.Evaluate(Policy{Language: language, Source: source}, Document(`{"a":1}`))
	}
}

// Check says whether a policy compiles.
func (e *Engine) Check(policy Policy) (verdict Verdict) {
	defer undecidedOnPanic(&verdict)
	judge, ok := e.languages[policy.Language]
	if !ok {
		return rejected(fmt.Errorf("sorry Type %s is not supported yet", policy.Language), true)
	}
	if err := judge.check(policy.Source); err != nil {
		return rejected(err, true)
	}
	return Verdict{Kind: Compliant, Repeatable: true}
}

// Evaluate judges an input by a policy.
func (e *Engine) Evaluate(policy Policy, input Input) (verdict Verdict) {
	defer undecidedOnPanic(&verdict)
	judge, ok := e.languages[policy.Language]
	if !ok {
		return rejected(fmt.Errorf("sorry Type %s is not supported yet", policy.Language), true)
	}
	shown, err := input.shown()
	if err != nil {
		return rejected(err, true)
	}
	rejection, repeatable := judge.evaluate(policy.Source, shown)
	if rejection != nil {
		return rejected(rejection, repeatable)
	}
	return Verdict{Kind: Compliant, Repeatable: repeatable}
}

func rejected(err error, repeatable bool) Verdict {
	return Verdict{Kind: Rejected, Message: cut(err.Error()), Repeatable: repeatable}
}

// A panic of a library may have been provoked by a policy; what it would have said is not known.
func undecidedOnPanic(verdict *Verdict) {
	if cause := recover(); cause != nil {
		*verdict = Verdict{Kind: Undecided, Message: cut(fmt.Sprintf("the policy engine failed: %v", cause))}
	}
}

func cut(message string) string {
	message = strings.ToValidUTF8(message, "\uFFFD")
	if len(message) <= MaxMessage {
		return message
	}
	end := MaxMessage
	for !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + "…"
}
