//go:build wasip1

// The policy engine as a WebAssembly module: a host writes a request into memory, calls, and reads the answer.
package main

import (
	"encoding/binary"
	"encoding/json"
	"runtime/debug"
	"unsafe"

	"entrepot.dev/policy-engine/engine"
)

var (
	policies *engine.Engine
	request  []byte
	answer   []byte
)

// A reactor: main never runs.
func main() {}

// start makes the engine. Above softLimit bytes of memory the collector works harder; the hard limit is the host's.
//
//go:wasmexport start
func start(softLimit int64) {
	debug.SetMemoryLimit(softLimit)
	policies = engine.New()
	policies.Warm()
}

// requestBuffer gives the address at which the host writes a request of size bytes.
//
//go:wasmexport request_buffer
func requestBuffer(size uint32) uint32 {
	request = make([]byte, max(size, 1))
	return address(request)
}

// call serves the request and gives the length of the answer.
//
//go:wasmexport call
func call() uint32 {
	verdict := serve(request)
	request = nil
	answer, _ = json.Marshal(verdict) // a struct of strings and a bool
	return uint32(len(answer))
}

// answerBuffer gives the address of the answer, JSON of an engine.Verdict.
//
//go:wasmexport answer_buffer
func answerBuffer() uint32 {
	return address(answer)
}

func address(bytes []byte) uint32 {
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(bytes))))
}

// A request is five byte strings, each after its length (32 bits, little endian): what to do (`check`, or judge a `document` or
// a `statement`), language, source, predicate type (of a statement), input.
func serve(request []byte) engine.Verdict {
	var fields [5]string
	for i := range fields {
		if len(request) < 4 || uint64(len(request)-4) < uint64(binary.LittleEndian.Uint32(request)) {
			return engine.Verdict{Kind: engine.Undecided, Message: "the request to the policy engine is cut off"}
		}
		size := binary.LittleEndian.Uint32(request)
		fields[i], request = string(request[4:4+size]), request[4+size:]
	}
	policy, input := engine.Policy{Language: fields[1], Source: fields[2]}, []byte(fields[4])
	switch fields[0] {
	case "check":
		return policies.Check(policy)
	case "document":
		return policies.Evaluate(policy, engine.Document(input))
	case "statement":
		return policies.Evaluate(policy, engine.Statement{PredicateType: fields[3], JSON: input})
	}
	return engine.Verdict{Kind: engine.Undecided, Message: "the policy engine does not know the operation"}
}
