# docker build -t serin .
#
# The result holds the binary, the C library and certificates: no shell, no package manager.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# Not built, but Cargo.toml names them.
COPY benches benches
# The caches outlive the build and are not in the image, so what is needed is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked \
    && cp target/release/serin /serin \
    && mkdir /state

# Of the same Debian as the build stage: the C library has to match.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /serin /usr/local/bin/serin
# A new volume takes its owner from here. 65532 is the image's user "nonroot"; as a number
# Kubernetes, too, can see that it is not root.
COPY --from=build --chown=65532:65532 /state /var/lib/serin
USER 65532:65532
WORKDIR /var/lib/serin
VOLUME ["/var/lib/serin"]
EXPOSE 8080
STOPSIGNAL SIGTERM
# Asks the API on the container's own loopback, which answers once every port is bound. Whether the
# services behind are well is not asked: restarting serin would not make them so.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["serin", "status"]
ENTRYPOINT ["serin"]
CMD ["run", "--config", "/etc/serin/proxy.toml"]
