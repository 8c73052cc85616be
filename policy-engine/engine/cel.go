package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// The dialect is that of the Kubernetes release whose k8s.io/apiserver go.mod names.
var dialect = version.MajorMinor(1, 36)

// What a policy may read besides `self`, and how to get it: by the field of `spec.policy` that includes it, if one does.
var (
	atAttestation = []string{"_type", "predicateType", "subject", "predicate"}
	atSpec        = []string{"authorityMatches", "config", "spec", "metadata", "typemeta"}
	includedBy    = map[string]string{
		"config": "fetchConfigFile", "spec": "includeSpec", "metadata": "includeObjectMeta", "typemeta": "includeTypeMeta",
	}
)

type celLanguage struct {
	env      func() (*cel.Env, error)
	programs *cache[cel.Program]
}

func newCEL() *celLanguage {
	return &celLanguage{env: sync.OnceValues(newEnv), programs: newCache[cel.Program]()}
}

func newEnv() (*cel.Env, error) {
	variables := []cel.EnvOption{cel.Variable("self", cel.DynType)}
	for _, name := range append(append([]string{}, atAttestation...), atSpec...) {
		variables = append(variables, cel.Variable(name, cel.DynType))
	}
	return environment.MustBaseEnvSet(dialect).NewExpressionsEnv().Extend(variables...)
}

func (l *celLanguage) check(source string) error {
	_, err := l.compile(source)
	return err
}

func (l *celLanguage) compile(source string) (cel.Program, error) {
	return l.programs.get(source, func() (cel.Program, error) {
		env, err := l.env()
		if err != nil {
			return nil, err
		}
		ast, issues := env.Compile(source)
		if err := issues.Err(); err != nil {
			return nil, fmt.Errorf("failed to compile the cel policy with error: %w", err)
		}
		switch out := ast.OutputType(); out.Kind() {
		case types.BoolKind, types.StringKind, types.DynKind:
		default:
			return nil, fmt.Errorf("failed to compile the cel policy with error: it gives %s: a policy gives a bool (true: compliant) or a string (empty: compliant)", out)
		}
		program, err := env.Program(ast, cel.CostLimit(celconfig.RuntimeCELCostBudgetMatchConditions))
		if err != nil {
			return nil, fmt.Errorf("failed to compile the cel policy with error: %w", err)
		}
		return program, nil
	})
}

func (l *celLanguage) evaluate(source string, input document) (error, bool) {
	program, err := l.compile(source)
	if err != nil {
		return err, true
	}
	variables, err := newVariables(input)
	if err != nil {
		return err, true
	}
	value, _, err := program.Eval(variables)
	if err != nil && variables.missing != "" {
		return fmt.Errorf("failed to evaluate the policy with error: %w: %s", err, absence(variables.missing, input.attestation)), true
	}
	if err != nil {
		return fmt.Errorf("failed to evaluate the policy with error: %w", err), true
	}
	switch result := value.(type) {
	case types.Bool:
		if result {
			return nil, true
		}
		return errors.New("policy is not compliant: the expression is false"), true
	case types.String:
		if result == "" {
			return nil, true
		}
		return errors.New(string(result)), true
	}
	return fmt.Errorf("failed to evaluate the policy with error: it gives %s: a policy gives a bool (true: compliant) or a string (empty: compliant)", value.Type()), true
}

func absence(name string, attestation bool) string {
	field, includable := includedBy[name]
	switch {
	case attestation:
		return fmt.Sprintf("the policy of an attestation reads its statement, which has no %q", name)
	case includable:
		return fmt.Sprintf("the input has no %q: set `%s: true` in spec.policy", name, field)
	case name == "authorityMatches":
		return "no authority has matched"
	}
	return fmt.Sprintf("spec.policy reads the image's evidence: %q is there for the policy of an attestation alone", name)
}

// variables resolves names in one input, and remembers the first that it did not have.
type variables struct {
	self    any
	fields  map[string]any
	missing string
}

func newVariables(input document) (*variables, error) {
	decoder := json.NewDecoder(bytes.NewReader(input.json))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("failed to parse the input with error: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("failed to parse the input with error: there is more than one JSON value")
	}
	self, err := withNumbers(value)
	if err != nil {
		return nil, fmt.Errorf("failed to parse the input with error: %w", err)
	}
	fields, _ := self.(map[string]any)
	return &variables{self: self, fields: fields}, nil
}

// ResolveName is the interpreter's question for a variable.
func (v *variables) ResolveName(name string) (any, bool) {
	if name == "self" {
		return v.self, true
	}
	value, ok := v.fields[name]
	if _, declared := includedBy[name]; !ok && v.missing == "" && (declared || isVariable(name)) {
		v.missing = name
	}
	return value, ok
}

// Parent is nil: there is no wider scope.
func (v *variables) Parent() interpreter.Activation { return nil }

func isVariable(name string) bool {
	for _, known := range append(append([]string{}, atAttestation...), atSpec...) {
		if name == known {
			return true
		}
	}
	return false
}

// withNumbers reads numbers as Kubernetes does: whole ones are integers where they fit, the rest are doubles.
func withNumbers(value any) (any, error) {
	switch value := value.(type) {
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return whole, nil
		}
		return value.Float64()
	case map[string]any:
		for key, inner := range value {
			converted, err := withNumbers(inner)
			if err != nil {
				return nil, err
			}
			value[key] = converted
		}
	case []any:
		for index, inner := range value {
			converted, err := withNumbers(inner)
			if err != nil {
				return nil, err
			}
			value[index] = converted
		}
	}
	return value, nil
}
