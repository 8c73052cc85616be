package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	attest "github.com/in-toto/attestation/go/v1"
	"github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/common"
	slsa02 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v0.2"
	slsa1 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// The short names of predicate types that cosign knows (cmd/cosign/cli/options/predicate.go); any other name is its own URI.
var predicateURIs = map[string]string{
	"custom":           "https://cosign.sigstore.dev/attestation/v1",
	"slsaprovenance":   slsa02.PredicateSLSAProvenance,
	"slsaprovenance02": slsa02.PredicateSLSAProvenance,
	"slsaprovenance1":  slsa1.PredicateSLSAProvenance,
	"spdx":             "https://spdx.dev/Document",
	"spdxjson":         "https://spdx.dev/Document",
	"cyclonedx":        "https://cyclonedx.org/bom",
	"link":             "https://in-toto.io/Link/v1",
	"vuln":             "https://cosign.sigstore.dev/attestation/vuln/v1",
	"openvex":          "https://openvex.dev/ns",
}

// statementFor brings an in-toto statement into the form that cosign shows to policies (pkg/policy/attestation.go): where the
// policy names the type by one of five short names, what the type does not know is dropped and what is absent gets its zero
// value; otherwise the statement stays as it is.
func statementFor(predicateType string, payload []byte) ([]byte, error) {
	if predicateType == "" {
		return nil, errors.New("missing predicate type")
	}
	uri, known := predicateURIs[predicateType]
	if !known {
		uri = predicateType
	}
	var generic statement
	if err := generic.UnmarshalJSON(payload); err != nil {
		return nil, fmt.Errorf("unmarshal in-toto statement: %w", err)
	}
	if got := generic.GetPredicateType(); got != uri {
		return nil, fmt.Errorf("the predicate type of the statement is %q, and the policy asks for %q", got, uri)
	}
	switch predicateType {
	case "link":
		return retyped[headed[link]](payload, "LinkStatement")
	case "slsaprovenance":
		return retyped[headed[slsa02.ProvenancePredicate]](payload, "ProvenanceStatementSLSA02")
	case "spdx", "spdxjson":
		return retyped[headed[any]](payload, "SPDXStatement")
	case "cyclonedx":
		return retyped[headed[any]](payload, "CycloneDXStatement")
	case "vuln":
		return retyped[vulnStatement](payload, "CosignVulnStatement")
	}
	return generic.MarshalJSON()
}

func retyped[T any](payload []byte, name string) ([]byte, error) {
	var typed T
	if err := json.Unmarshal(payload, &typed); err != nil {
		return nil, fmt.Errorf("unmarshaling %s: %w", name, err)
	}
	shown, err := json.Marshal(typed)
	if err != nil {
		return nil, fmt.Errorf("marshaling %s: %w", name, err)
	}
	return shown, nil
}

// statement is any in-toto statement. The in-toto types want an object as the predicate; old custom attestations have a string.
type statement struct {
	*attest.Statement
	text *string
}

func (s *statement) UnmarshalJSON(payload []byte) error {
	var parsed attest.Statement
	if err := protojson.Unmarshal(payload, &parsed); err == nil {
		s.Statement = &parsed
		return nil
	}
	var fields map[string]any
	if err := json.Unmarshal(payload, &fields); err != nil {
		return err
	}
	predicate, ok := fields["predicate"]
	if !ok {
		return errors.New("could not parse statement, could not find predicate")
	}
	text, ok := predicate.(string)
	if !ok {
		return fmt.Errorf("could not parse predicate with type %T", predicate)
	}
	delete(fields, "predicate")
	rest, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("failed to marshal statement: %w", err)
	}
	s.text = &text
	return json.Unmarshal(rest, &s.Statement)
}

func (s *statement) MarshalJSON() ([]byte, error) {
	if s.text == nil {
		return protojson.Marshal(s.Statement)
	}
	return json.Marshal(map[string]any{
		"_type":         s.Type,
		"subject":       s.Subject,
		"predicateType": s.PredicateType,
		"predicate":     s.text,
	})
}

// headed is in-toto-golang's older statement around a predicate. (Its package in_toto needs an operating system to compile.)
type headed[P any] struct {
	Type          string `json:"_type"`
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Name   string           `json:"name"`
		Digest common.DigestSet `json:"digest"`
	} `json:"subject"`
	Predicate P `json:"predicate"`
}

// link is in-toto's record of one step of a supply chain.
type link struct {
	Type        string                       `json:"_type"`
	Name        string                       `json:"name"`
	Materials   map[string]map[string]string `json:"materials"`
	Products    map[string]map[string]string `json:"products"`
	ByProducts  map[string]any               `json:"byproducts"`
	Command     []string                     `json:"command"`
	Environment map[string]any               `json:"environment"`
}

// vulnStatement is cosign's record of a vulnerability scan (specs/COSIGN_VULN_ATTESTATION_SPEC.md there).
type vulnStatement struct {
	Type          string                       `json:"_type,omitempty"`
	Subject       []*attest.ResourceDescriptor `json:"subject,omitempty"`
	PredicateType string                       `json:"predicateType,omitempty"`
	Predicate     vulnPredicate                `json:"predicate"`
}

type vulnPredicate struct {
	Invocation struct {
		Parameters any    `json:"parameters"`
		URI        string `json:"uri"`
		EventID    string `json:"event_id"`
		BuilderID  string `json:"builder.id"`
	} `json:"invocation"`
	Scanner struct {
		URI     string `json:"uri"`
		Version string `json:"version"`
		DB      struct {
			URI     string `json:"uri"`
			Version string `json:"version"`
		} `json:"db"`
		Result any `json:"result"`
	} `json:"scanner"`
	Metadata struct {
		ScanStartedOn  time.Time `json:"scanStartedOn"`
		ScanFinishedOn time.Time `json:"scanFinishedOn"`
	} `json:"metadata"`
}
