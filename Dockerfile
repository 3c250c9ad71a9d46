# syntax=docker/dockerfile:1
# One image for every process of the shop; which modules run is a setting (SOUK__ONLY).
#
#   docker build -t souk:local .                                    all modules
#   docker build -t souk:orders --build-arg FEATURES=orders .       the slim binary of one module
#
# The dependencies are compiled in a layer of their own, from a recipe that changes only when they do.

FROM rust:1.95-slim-bookworm AS chef
WORKDIR /souk
RUN cargo install cargo-chef --version 0.1.78 --locked

FROM chef AS recipe
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
ARG FEATURES=auth,users,catalog,cart,inventory,orders,payments,notifications
COPY --from=recipe /souk/recipe.json recipe.json
RUN cargo chef cook --release --locked --package souk --bin souk --no-default-features \
    --features "$FEATURES" --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked --package souk --bin souk --no-default-features --features "$FEATURES" \
    && mkdir -p /out/data \
    && mv target/release/souk /out/souk

# The same Debian as the build, so that the C library fits. Nothing is installed into it.
FROM debian:bookworm-20250520-slim
LABEL org.opencontainers.image.title="souk" \
      org.opencontainers.image.description="A complete shop backend in one binary: one process or one per module" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/souk /usr/local/bin/souk
COPY config/split.toml /etc/souk/split.toml
# A number, so that an orchestrator can see that it is not root.
COPY --from=build --chown=65532:65532 /out/data /var/lib/souk
USER 65532:65532
WORKDIR /var/lib/souk
ENV SOUK__SERVER__HOST=0.0.0.0 \
    SOUK__SERVER__PORT=8080 \
    SOUK__DATA__DIR=/var/lib/souk \
    SOUK__LOG__FORMAT=json
EXPOSE 8080
# The shop ends gently: no new connections, then requests in flight, then events.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=6s --start-period=30s --retries=3 CMD ["souk", "health"]
ENTRYPOINT ["souk"]
CMD ["serve"]
