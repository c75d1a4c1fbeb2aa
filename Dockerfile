# The base images are Debian 12 in both stages, so the libc that the binary was linked against is
# the one it runs with.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked --bin aka \
    && install -D --mode=755 target/dist/aka /out/aka \
    && install -d /out/memory

# No shell and no package manager; runs as uid 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/aka /usr/local/bin/aka
# A volume that is mounted here takes this owner over, so aka may write snapshots to it.
COPY --from=build --chown=65532:65532 --chmod=700 /out/memory /var/lib/aka
USER nonroot
EXPOSE 50051 9464
ENTRYPOINT ["aka"]
# A published port leads to the container's own address, so `docker run … aka serve` needs these.
ENV AKA_LISTEN=0.0.0.0:50051 AKA_METRICS_LISTEN=0.0.0.0:9464
# INSECURE: the image has no certificate and no principals, so without settings of yours gRPC is neither encrypted nor
# protected, and whoever reaches the port may change every alias. Mount a certificate, a key
# and a file of principals, name them by AKA_TLS_CERT, AKA_TLS_KEY and AKA_AUTH_FILE, and set AKA_INSECURE=false
# (docs/security.md).
ENV AKA_INSECURE=true
CMD ["serve"]
