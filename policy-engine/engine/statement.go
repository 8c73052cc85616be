package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/common"
	slsa02 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v0.2"
	slsa1 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v1"
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

// statementFor brings an in-toto statement into the form that policy-controller shows to policies (pkg/policy/attestation.go of
// cosign 2 and 3.0): type, predicate type, names and digests of the subjects, predicate. Where the policy names the type by one of
// three short names, what that type does not know is dropped from the predicate, and what is absent gets its zero value.
func statementFor(predicateType string, payload []byte) ([]byte, error) {
	if predicateType == "" {
		return nil, errors.New("missing predicate type")
	}
	uri, known := predicateURIs[predicateType]
	if !known {
		uri = predicateType
	}
	var generic statement[any]
	if err := json.Unmarshal(payload, &generic); err != nil {
		return nil, fmt.Errorf("unmarshal in-toto statement: %w", err)
	}
	if generic.PredicateType != uri {
		return nil, fmt.Errorf("the predicate type of the statement is %q, and the policy asks for %q", generic.PredicateType, uri)
	}
	switch predicateType {
	case "link":
		return retyped[Link](payload, "LinkStatement")
	case "slsaprovenance":
		return retyped[slsa02.ProvenancePredicate](payload, "ProvenanceStatementSLSA02)") // the bracket is cosign's
	case "vuln":
		return retyped[vulnerabilities](payload, "CosignVulnStatement")
	}
	return json.Marshal(generic)
}

func retyped[P any](payload []byte, name string) ([]byte, error) {
	var typed statement[P]
	if err := json.Unmarshal(payload, &typed); err != nil {
		return nil, fmt.Errorf("unmarshaling %s: %w", name, err)
	}
	return json.Marshal(typed)
}

// statement is in-toto's, version 0.1, around a predicate. (in-toto-golang's own package needs an operating system to compile.)
type statement[P any] struct {
	Type          string `json:"_type"`
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Name   string           `json:"name"`
		Digest common.DigestSet `json:"digest"`
	} `json:"subject"`
	Predicate P `json:"predicate"`
}

// Link is in-toto's record of one step of a supply chain; its name is part of a message.
type Link struct {
	Type        string                       `json:"_type"`
	Name        string                       `json:"name"`
	Materials   map[string]map[string]string `json:"materials"`
	Products    map[string]map[string]string `json:"products"`
	ByProducts  map[string]any               `json:"byproducts"`
	Command     []string                     `json:"command"`
	Environment map[string]any               `json:"environment"`
}

// vulnerabilities is cosign's record of a scan (specs/COSIGN_VULN_ATTESTATION_SPEC.md there).
type vulnerabilities struct {
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
