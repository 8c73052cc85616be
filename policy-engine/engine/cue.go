package engine

import (
	"fmt"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
)

// cueLanguage keeps nothing: a cue.Context never lets go of a value that it has built.
type cueLanguage struct{}

func (cueLanguage) check(source string) error {
	_, err := compileCUE(cuecontext.New(), source)
	return err
}

// Validation does not ask for concrete values, as cosign's does not: what the policy demands and the input lacks is no conflict.
func (cueLanguage) evaluate(source string, input document) (error, bool) {
	ctx := cuecontext.New()
	policy, err := compileCUE(ctx, source)
	if err != nil {
		return err, true
	}
	data := ctx.CompileBytes(input.json)
	if err := data.Err(); err != nil {
		return fmt.Errorf("failed to compile the attestation data with error: %w", err), true
	}
	if err := policy.Unify(data).Validate(); err != nil {
		return fmt.Errorf("failed to evaluate the policy with error: %w", err), true
	}
	return nil, true
}

func compileCUE(ctx *cue.Context, source string) (cue.Value, error) {
	policy := ctx.CompileString(source)
	if err := policy.Err(); err != nil {
		return policy, fmt.Errorf("failed to compile the cue policy with error: %w", err)
	}
	return policy, nil
}
