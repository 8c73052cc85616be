package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

const (
	regoRule  = "isCompliant"
	regoQuery = regoRule + " = data.sigstore." + regoRule
)

// What reaches out of the sandbox does not exist, so that a policy that calls it is refused when it is compiled.
var withoutOutside = []string{"http.send", "net.lookup_ip_addr", "opa.runtime"}

// CosignRuleResult is an element of the rule's set; its name is part of a message.
type CosignRuleResult struct {
	Warning string `json:"warning"`
	Error   string `json:"error"`
	Result  bool   `json:"result"`
}

type preparedRego struct {
	query      rego.PreparedEvalQuery
	repeatable bool
}

type regoLanguage struct {
	capabilities *ast.Capabilities
	prepared     *cache[preparedRego]
}

func newRego() *regoLanguage {
	capabilities := ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(ast.RegoV0))
	capabilities.Builtins = slices.DeleteFunc(capabilities.Builtins, func(builtin *ast.Builtin) bool {
		return slices.Contains(withoutOutside, builtin.Name)
	})
	capabilities.AllowNet = []string{}
	return &regoLanguage{capabilities: capabilities, prepared: newCache[preparedRego]()}
}

func (l *regoLanguage) check(source string) error {
	_, err := l.prepare(source)
	return err
}

func (l *regoLanguage) evaluate(source string, input document) (error, bool) {
	prepared, err := l.prepare(source)
	if err != nil {
		return err, true
	}
	decoder := json.NewDecoder(bytes.NewReader(input.json))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err, true
	}
	results, err := prepared.query.Eval(context.Background(), rego.EvalInput(value))
	if err != nil {
		return err, prepared.repeatable
	}
	return regoRejection(results), prepared.repeatable
}

func (l *regoLanguage) prepare(source string) (preparedRego, error) {
	return l.prepared.get(source, func() (preparedRego, error) {
		var modules []*ast.Module
		query, err := rego.New(
			rego.Query(regoQuery),
			rego.Module("sigstore.rego", source),
			rego.SetRegoVersion(ast.RegoV0),
			rego.Capabilities(l.capabilities),
		).PrepareForEval(context.Background())
		if err != nil {
			return preparedRego{}, err
		}
		for _, module := range query.Modules() {
			modules = append(modules, module)
		}
		return preparedRego{query, repeatable(modules)}, nil
	})
}

// repeatable: no module calls a function whose result changes from one evaluation to the next (`time.now_ns`, `rand.intn`, …).
func repeatable(modules []*ast.Module) bool {
	for _, module := range modules {
		changing := false
		ast.WalkRefs(module, func(ref ast.Ref) bool {
			builtin, ok := ast.BuiltinMap[ref.String()]
			changing = changing || ok && builtin.Nondeterministic
			return changing
		})
		if changing {
			return false
		}
	}
	return true
}

// regoRejection reads the rule's value: a boolean, or a set of objects of which the first with `result: true` decides, in
// OPA's order. An accepting object that brings a warning rejects all the same, as policy-controller has it.
func regoRejection(results rego.ResultSet) error {
	for _, result := range results {
		switch value := result.Bindings[regoRule].(type) {
		case []any:
			return regoSetRejection(value)
		case bool:
			if value {
				return nil
			}
		}
	}
	return fmt.Errorf("policy is not compliant for query '%s'", regoQuery)
}

func regoSetRejection(answers []any) error {
	rejection := fmt.Errorf("policy is not compliant for query %q", regoQuery)
	for _, answer := range answers {
		object, ok := answer.(map[string]any)
		if !ok {
			return parsingRejection(errors.New("an element is not an object with result, error and warning"))
		}
		text, err := json.Marshal(object)
		if err != nil {
			return parsingRejection(err)
		}
		var said CosignRuleResult
		if err := json.Unmarshal(text, &said); err != nil {
			return parsingRejection(err)
		}
		if said.Result && said.Warning == "" {
			return nil
		}
		if said.Result {
			return fmt.Errorf("warning: %s", said.Warning)
		}
		rejection = fmt.Errorf("policy is not compliant for query '%s' with errors: %s", regoQuery, said.Error)
	}
	return rejection
}

func parsingRejection(cause error) error {
	return fmt.Errorf("policy is not compliant for query '%s' due to parsing errors: %w", regoQuery, cause)
}
