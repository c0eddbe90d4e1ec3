# A small image without a shell that runs as nobody in particular (uid 65532):
#
#   docker build -t trailkeeper .
#   docker run --rm trailkeeper demo --dir /tmp/demo
#   docker run -d --name trailkeeper --read-only --cap-drop ALL --env-file trailkeeper.env \
#     -v audit-trails:/var/log/audit-trails -v trailkeeper-state:/var/lib/trailkeeper trailkeeper
#
# The folders of the settings are /var/log/audit-trails/mail and its like, which the image has, and which a new volume takes over with
# their owner; a folder of the host has to have them, and be uid 65532's. A token
# comes as a secret: mount its file and name it with OAUTH_TOKEN_ARG_FILE and the like.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock rustfmt.toml ./
COPY src src
COPY samples samples
# The manifest names them, so cargo wants them to be there.
COPY benches benches
RUN cargo build --locked --release \
    && mkdir -p /out/state /out/audit-trails/mail /out/audit-trails/disk /out/audit-trails/audit \
        /out/audit-trails/port /out/audit-trails/tfc \
    && chmod -R 0750 /out

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="trailkeeper" \
      org.opencontainers.image.description="Keeps SaaS audit trails: every record once, in append-only day files" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /src/target/release/trailkeeper /usr/bin/trailkeeper
COPY --from=build --chown=nonroot:nonroot /out/state /var/lib/trailkeeper
COPY --from=build --chown=nonroot:nonroot /out/audit-trails /var/log/audit-trails
ENV APP_LOG_FILE=/var/lib/trailkeeper/trailkeeper.log
WORKDIR /var/lib/trailkeeper
USER nonroot
# A write under way ends before the program does.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/trailkeeper"]
CMD ["collect", "--follow"]
