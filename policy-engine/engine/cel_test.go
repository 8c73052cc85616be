package engine

import (
	"strings"
	"testing"
)

const facts = `{"authorityMatches":{"a":{"signatures":[{"id":"x","subject":"me@example.com"}]}},"config":{"linux/amd64":{"config":{"User":"0"}}},"n":12,"f":1.5,"big":12345678901234567890,"none":null}`

func TestCEL(t *testing.T) {
	for name, c := range map[string]struct{ source, says string }{
		"true":                {`authorityMatches.a.signatures.exists(s, s.subject.endsWith("@example.com"))`, ""},
		"false":               {`config["linux/amd64"].config.User != "0"`, "policy is not compliant: the expression is false"},
		"message":             {`config["linux/amd64"].config.User == "0" ? "runs as root" : ""`, "runs as root"},
		"empty message":       {`""`, ""},
		"self":                {`self.n == 12 && self.f == 1.5 && self.none == null`, ""},
		"integers":            {`self.n / 5 == 2`, ""},
		"numbers compare":     {`self.n > 11.5 && self.f < 2`, ""},
		"too large an int":    {`self.big > 1.0e19`, ""},
		"a number":            {`self.n`, "it gives int: a policy gives a bool"},
		"absent, includable":  {`spec.replicas > 1`, "the input has no \"spec\": set `includeSpec: true` in spec.policy"},
		"absent metadata":     {`metadata.name == "x"`, "set `includeObjectMeta: true`"},
		"absent typemeta":     {`typemeta.kind == "Pod"`, "set `includeTypeMeta: true`"},
		"absent, of evidence": {`predicate.Data == "x"`, `"predicate" is there for the policy of an attestation alone`},
		"absent, guarded":     {`!has(self.spec) || spec.replicas > 1`, ""},
		"absent, either":      {`spec.replicas > 1 || self.n == 12`, ""},
		"no such key":         {`self.nothing == 1`, "failed to evaluate the policy with error: no such key: nothing"},
		"lists":               {`[1, 2, 3].sum() == 6 && [1, 2].isSorted() && [[1], [2]].flatten() == [1, 2]`, ""},
		"regex":               {`"abc123".find("[0-9]+") == "123"`, ""},
		"urls":                {`url("https://example.com/a").getHost() == "example.com"`, ""},
		"quantity":            {`quantity("1Gi").isGreaterThan(quantity("1Mi"))`, ""},
		"ip":                  {`ip("192.168.0.1").family() == 4`, ""},
		"cidr":                {`cidr("10.0.0.0/8").containsIP("10.1.2.3")`, ""},
		"format":              {`!format.dns1123Label().validate("ok").hasValue()`, ""},
		"semver":              {`semver("1.2.3").isLessThan(semver("1.10.0"))`, ""},
		"sets":                {`sets.contains([1, 2, 3], [2])`, ""},
		"two variables":       {`authorityMatches.all(name, match, name != "" && match.signatures.size() == 1)`, ""},
		"strings":             {`"%s-%d".format(["a", 1]) == "a-1" && "A".lowerAscii() == "a"`, ""},
		"optionals":           {`self.?nothing.orValue("x") == "x"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := judge(t, "cel", c.source, facts)
			if (verdict.Kind == Compliant) != (c.says == "") || !strings.Contains(verdict.Message, c.says) {
				t.Errorf("%s %q", verdict.Kind, verdict.Message)
			}
		})
	}
}

func TestCELReadsTheStatement(t *testing.T) {
	source := `_type.startsWith("https://in-toto.io/") && predicateType == "https://example.com/p" && subject[0].digest.sha256 == "ab" && predicate.n == 1`
	statement := Statement{"https://example.com/p", []byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://example.com/p","subject":[{"name":"i","digest":{"sha256":"ab"}}],"predicate":{"n":1}}`)}
	if verdict := New().Evaluate(Policy{"cel", source}, statement); verdict.Kind != Compliant {
		t.Error(verdict.Message)
	}
	verdict := New().Evaluate(Policy{"cel", `spec.replicas == 1`}, statement)
	if !strings.Contains(verdict.Message, `the policy of an attestation reads its statement, which has no "spec"`) {
		t.Error(verdict.Message)
	}
}

// Kubernetes' budget ends an expression at the same point on every machine.
func TestCELCostIsBounded(t *testing.T) {
	ten := "[1,2,3,4,5,6,7,8,9,10]"
	source := "x > 0"
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "x"} {
		source = strings.ReplaceAll(ten+".all(NAME, "+source+")", "NAME", name)
	}
	verdict := judge(t, "cel", source, "{}")
	if verdict.Kind != Rejected || !strings.Contains(verdict.Message, "cost limit exceeded") {
		t.Errorf("%+v", verdict)
	}
}

func TestCELWantsOneDocument(t *testing.T) {
	for _, document := range []string{``, `{`, `{} {}`, `nothing`} {
		if verdict := judge(t, "cel", "true", document); verdict.Kind != Rejected {
			t.Errorf("%q: %+v", document, verdict)
		}
	}
}
