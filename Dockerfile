# The image of a release. The development and test image is made without Docker by `make image` (hack/image.ts), which has the same
# layout and entry point; this file is for release pipelines and is not run by the tests.
ARG NODE_VERSION=24.21.0
ARG GO_VERSION=1.26

# The policy engine is the same bytes on every platform: built once, on the builder's own.
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-bookworm AS policy-engine
WORKDIR /src
COPY policy-engine/go.mod policy-engine/go.sum ./
RUN go mod download
COPY policy-engine ./
RUN CGO_ENABLED=0 GOOS=wasip1 GOARCH=wasm \
    go build -trimpath -buildvcs=false -buildmode=c-shared -ldflags "-s -w" -o /policy-engine.wasm .

FROM node:${NODE_VERSION}-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No install script of a dependency runs; the production dependencies are plain JavaScript.
RUN npm ci --omit=dev --ignore-scripts --no-progress

FROM node:${NODE_VERSION}-bookworm-slim
LABEL org.opencontainers.image.title="entrepot" org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=policy-engine /policy-engine.wasm policy-engine.wasm
COPY package.json main.ts ./
COPY core core
COPY crds crds
COPY adapters adapters
COPY operator operator
COPY webhooks webhooks
COPY gateway gateway
# By number: Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/node", "main.ts"]
