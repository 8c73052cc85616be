// A webhook that allows everything, as lean as one can be in this language: the floor for all others. Key and certificate come in the environment.
import { createServer } from "node:https";

interface Review {
  readonly request: { readonly uid: string };
}

const server = createServer(
  { key: process.env["TLS_KEY"], cert: process.env["TLS_CERT"], keepAlive: true, keepAliveTimeout: 300_000 },
  (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
      const answer = JSON.stringify({
        apiVersion: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response: { uid: review.request.uid, allowed: true },
      });
      response
        .writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(answer) })
        .end(answer);
    });
  },
);
server.listen(Number(process.env["PORT"]), "127.0.0.1", () => console.log("listening"));
