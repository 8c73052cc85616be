package conformance

type verdictCase struct {
	language, source, document string
	compliant                  bool
	// What it must say, where the text is an interface; empty: whatever cosign says.
	message string
}

const notCompliant = "policy is not compliant for query 'isCompliant = data.sigstore.isCompliant'"

func rego(body string) string { return "package sigstore\n" + body }

var verdicts = map[string]verdictCase{
	"cue: satisfied":            {"cue", `predicate: Data: "foo"`, `{"predicate":{"Data":"foo"}}`, true, ""},
	"cue: open":                 {"cue", `a: 1`, `{"a":1,"b":2}`, true, ""},
	"cue: absent is no fault":   {"cue", `predicate: Data: "x"`, `{}`, true, ""},
	"cue: constraint":           {"cue", `n: >=3`, `{"n":5}`, true, ""},
	"cue: whole doubles":        {"cue", `n: int`, `{"n":5.0}`, false, ""},
	"cue: big number":           {"cue", `n: 12345678901234567890`, `{"n":12345678901234567890}`, true, ""},
	"cue: hidden field":         {"cue", `_type: "x"`, `{"_type":"y"}`, true, ""},
	"cue: import":               {"cue", "import \"strings\"\nname: strings.MinRunes(3)", `{"name":"abc"}`, true, ""},
	"cue: import, refused":      {"cue", "import \"strings\"\nname: strings.MinRunes(3)", `{"name":"a"}`, false, ""},
	"cue: spec":                 {"cue", `spec: serviceAccount: "non-default"`, `{"spec":{"serviceAccount":"default"}}`, false, `failed to evaluate the policy with error: spec.serviceAccount: conflicting values "default" and "non-default"`},
	"cue: quoted path":          {"cue", `config: "linux/amd64": config: User: "a"`, `{"config":{"linux/amd64":{"config":{"User":"b"}}}}`, false, `failed to evaluate the policy with error: config."linux/amd64".config.User: conflicting values "b" and "a"`},
	"cue: two faults":           {"cue", "a: 1\nb: 2", `{"a":2,"b":3}`, false, ""},
	"cue: types":                {"cue", `a: string`, `{"a":[1]}`, false, ""},
	"cue: closed":               {"cue", "#P: {a: int}\n#P", `{"a":1,"b":2}`, false, ""},
	"cue: disjunction":          {"cue", `a: "x" | "y"`, `{"a":"z"}`, false, ""},
	"cue: pattern":              {"cue", `a: =~"^v[0-9]+$"`, `{"a":"w1"}`, false, ""},
	"cue: list":                 {"cue", `a: [...{b: "x"}]`, `{"a":[{"b":"x"},{"b":"y"}]}`, false, ""},
	"cue: bound":                {"cue", "import \"time\"\nbefore: string\nok: time.Parse(time.RFC3339, before) & <\"2030\"", `{"before":"2024-01-01T00:00:00Z"}`, true, ""},
	"cue: cycle":                {"cue", "a: b + 1\nb: a + 1", `{"a":1}`, false, ""},
	"cue: broken":               {"cue", `a: {`, `{}`, false, ""},
	"cue: unknown reference":    {"cue", `a: b`, `{}`, false, ""},
	"cue: unknown import":       {"cue", "import \"example.com/x\"\na: x.y", `{}`, false, ""},
	"cue: broken document":      {"cue", `a: 1`, `{"a":`, false, ""},
	"cue: empty":                {"cue", ``, `{"a":1}`, true, ""},
	"cue: duplicate key":        {"cue", `a: int`, `{"a":1,"a":2}`, false, ""},
	"cue: not an object":        {"cue", `a: 1`, `[1]`, false, ""},
	"rego: true":                {"rego", rego(`isCompliant { input.a == 1 }`), `{"a":1}`, true, ""},
	"rego: undefined":           {"rego", rego(`isCompliant { input.a == 1 }`), `{"a":2}`, false, notCompliant},
	"rego: false":               {"rego", rego("default isCompliant = false\nisCompliant { input.a == 1 }"), `{"a":2}`, false, notCompliant},
	"rego: number kept":         {"rego", rego(`isCompliant { input.a == 12345678901234567890 }`), `{"a":12345678901234567890}`, true, ""},
	"rego: another package":     {"rego", "package signature\nisCompliant = true", `{}`, false, notCompliant},
	"rego: not a bool":          {"rego", rego(`isCompliant = "yes"`), `{}`, false, notCompliant},
	"rego: broken":              {"rego", rego(`isCompliant {`), `{}`, false, ""},
	"rego: unsafe":              {"rego", rego(`isCompliant { x > 1 }`), `{}`, false, ""},
	"rego: v1 syntax":           {"rego", rego(`isCompliant if { input.a == 1 }`), `{"a":1}`, false, ""},
	"rego: v1 by import":        {"rego", rego("import rego.v1\nisCompliant if { input.a == 1 }"), `{"a":1}`, true, ""},
	"rego: conflict":            {"rego", rego("isCompliant = true { input.a }\nisCompliant = false { input.a }"), `{"a":true}`, false, ""},
	"rego: set, result":         {"rego", rego(`isCompliant[r] { r := {"result": true, "error": ""} }`), `{}`, true, ""},
	"rego: set, error":          {"rego", rego(`isCompliant[r] { r := {"result": false, "error": "too old"} }`), `{}`, false, notCompliant + " with errors: too old"},
	"rego: set, warning":        {"rego", rego(`isCompliant[r] { r := {"result": true, "warning": "soon"} }`), `{}`, false, "warning: soon"},
	"rego: set, both":           {"rego", rego(`isCompliant[r] { r := {"result": false, "error": "e", "warning": "w"} }`), `{}`, false, notCompliant + " with errors: e"},
	"rego: set, one of two":     {"rego", rego("isCompliant[r] { r := {\"result\": false, \"error\": \"a\"} }\nisCompliant[r] { r := {\"result\": true} }"), `{}`, true, ""},
	"rego: set, two errors":     {"rego", rego("isCompliant[r] { r := {\"result\": false, \"error\": \"a\"} }\nisCompliant[r] { r := {\"result\": false, \"error\": \"b\"} }"), `{}`, false, notCompliant + " with errors: b"},
	"rego: set, empty":          {"rego", rego(`isCompliant[r] { false; r := {"result": true} }`), `{}`, false, `policy is not compliant for query "isCompliant = data.sigstore.isCompliant"`},
	"rego: set, result no bool": {"rego", rego(`isCompliant[r] { r := {"result": "yes"} }`), `{}`, false, ""},
	"rego: broken document":     {"rego", rego(`isCompliant = true`), `{"a":`, false, ""},
	"rego: a builtin's error":   {"rego", rego(`isCompliant { to_number(input.a) == 1 }`), `{"a":"x"}`, false, notCompliant},
	"rego: time":                {"rego", rego(`isCompliant { time.now_ns() > time.parse_rfc3339_ns(input.at) }`), `{"at":"2024-01-01T00:00:00Z"}`, true, ""},
	"another language":          {"jsonnet", `true`, `{}`, false, "sorry Type jsonnet is not supported yet"},
}

type statementCase struct {
	predicateType, statement string
	// What cosign must show, where the form is written down; empty: whatever it shows.
	shown string
}

func stated(predicateType, predicate string) string {
	return `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"` + predicateType + `","subject":[{"name":"r/i","digest":{"sha256":"ab"}}],"predicate":` + predicate + `}`
}

var statementCases = map[string]statementCase{
	"custom": {"custom", stated("https://cosign.sigstore.dev/attestation/v1", `{"Data":"foo","Timestamp":"2024-01-01T00:00:00Z"}`),
		stated("https://cosign.sigstore.dev/attestation/v1", `{"Data":"foo","Timestamp":"2024-01-01T00:00:00Z"}`)},
	"custom, text":    {"custom", stated("https://cosign.sigstore.dev/attestation/v1", `"plain text"`), ""},
	"a URI":           {"https://example.com/p", stated("https://example.com/p", `{"a":[1,2.5,1e3,{"b":null}]}`), ""},
	"the URI of vuln": {"https://cosign.sigstore.dev/attestation/vuln/v1", stated("https://cosign.sigstore.dev/attestation/vuln/v1", `{"anything":true}`), ""},
	"a large number":  {"https://example.com/p", stated("https://example.com/p", `{"a":12345678901234567890}`), ""},
	"vuln": {"vuln", stated("https://cosign.sigstore.dev/attestation/vuln/v1", `{"invocation":{"uri":"u","event_id":"e","builder.id":"b","extra":1},"scanner":{"uri":"s","version":"1","db":{"uri":"d","version":"2"},"result":{"findings":[]}},"metadata":{"scanStartedOn":"2024-01-01T00:00:00Z","scanFinishedOn":"2024-01-02T00:00:00Z"},"extra":true}`),
		stated("https://cosign.sigstore.dev/attestation/vuln/v1", `{"invocation":{"parameters":null,"uri":"u","event_id":"e","builder.id":"b"},"scanner":{"uri":"s","version":"1","db":{"uri":"d","version":"2"},"result":{"findings":[]}},"metadata":{"scanStartedOn":"2024-01-01T00:00:00Z","scanFinishedOn":"2024-01-02T00:00:00Z"}}`)},
	"vuln, empty":                 {"vuln", stated("https://cosign.sigstore.dev/attestation/vuln/v1", `{}`), ""},
	"vuln, wrong shape":           {"vuln", stated("https://cosign.sigstore.dev/attestation/vuln/v1", `{"metadata":{"scanStartedOn":5}}`), ""},
	"slsaprovenance":              {"slsaprovenance", stated("https://slsa.dev/provenance/v0.2", `{"builder":{"id":"b"},"buildType":"t","invocation":{"configSource":{"uri":"u","digest":{"sha1":"x"},"entryPoint":"e"},"parameters":{"a":1}},"metadata":{"buildStartedOn":"2024-01-01T00:00:00Z","completeness":{"parameters":true},"reproducible":false},"materials":[{"uri":"m","digest":{"sha1":"y"}}],"extra":1}`), ""},
	"slsaprovenance, wrong shape": {"slsaprovenance", stated("https://slsa.dev/provenance/v0.2", `{"builder":5}`), ""},
	"link, wrong shape":           {"link", stated("https://in-toto.io/Link/v1", `{"command":"x"}`), ""},
	"slsaprovenance, empty":       {"slsaprovenance", stated("https://slsa.dev/provenance/v0.2", `{}`), ""},
	"slsaprovenance02":            {"slsaprovenance02", stated("https://slsa.dev/provenance/v0.2", `{"builder":{"id":"b"},"extra":1}`), ""},
	"slsaprovenance1":             {"slsaprovenance1", stated("https://slsa.dev/provenance/v1", `{"buildDefinition":{"buildType":"t"}}`), ""},
	"spdx":                        {"spdx", stated("https://spdx.dev/Document", `{"SPDXID":"SPDXRef-DOCUMENT"}`), ""},
	"spdx, text":                  {"spdx", stated("https://spdx.dev/Document", `"SPDXVersion: SPDX-2.2"`), ""},
	"spdxjson":                    {"spdxjson", stated("https://spdx.dev/Document", `{"packages":[{"name":"a"}]}`), ""},
	"cyclonedx":                   {"cyclonedx", stated("https://cyclonedx.org/bom", `{"bomFormat":"CycloneDX"}`), ""},
	"link":                        {"link", stated("https://in-toto.io/Link/v1", `{"_type":"link","name":"n","materials":{"a":{"sha256":"b"}},"command":["x"],"extra":1}`), ""},
	"openvex":                     {"openvex", stated("https://openvex.dev/ns", `{"statements":[]}`), ""},
	"more about a subject":        {"https://example.com/p", `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://example.com/p","subject":[{"name":"r/i","uri":"u","digest":{"sha256":"ab"},"annotations":{"a":"b"}}],"predicate":{}}`, ""},
	"no predicate":                {"https://example.com/p", `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://example.com/p","subject":[]}`, ""},
	"an unknown field":            {"https://example.com/p", `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://example.com/p","more":1,"predicate":{}}`, ""},
	"another type":                {"vuln", stated("https://example.com/p", `{}`), ""},
	"no type asked":               {"", stated("https://example.com/p", `{}`), ""},
	"no JSON":                     {"custom", `{`, ""},
	"a list":                      {"custom", `[]`, ""},
	"null":                        {"custom", `null`, ""},
	"a predicate that is a list":  {"custom", stated("https://cosign.sigstore.dev/attestation/v1", `[1]`), ""},
}
