# syntax=docker/dockerfile:1.7
# One image with everything in it: code, locked packages, weights. Nothing is fetched when it runs.
#   docker build --tag sixply .
#   docker build --build-arg TORCH=cu128 --tag sixply:cuda .
ARG PYTHON=python:3.12-slim-trixie

FROM ${PYTHON} AS build
ARG WITH=postgres,redis
ARG TORCH=cpu
WORKDIR /opt/sixply
COPY . .
# Every package by the hash that the lock names, the weights by theirs; torch, whose wheel depends on the machine, without.
# hadolint ignore=DL3008
RUN --mount=type=cache,target=/var/cache/pip,sharing=locked \
    PIP_CACHE_DIR=/var/cache/pip UV_CACHE_DIR=/var/cache/pip/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 \
    apt-get update && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/* \
    && make setup PYTHON=python TORCH="${TORCH}" WITH="${WITH}" \
    && .venv/bin/python -m compileall -q foundation models retrieval orchestration serving observability extensions \
    && .venv/bin/python -m serving.cli --help >/dev/null

FROM ${PYTHON}
LABEL org.opencontainers.image.title="Sixply" \
      org.opencontainers.image.licenses="Apache-2.0"
# libgomp and libstdc++ are what the inference engines link to. Debian's security updates decide their versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 sixply \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/sixply --no-create-home --shell /usr/sbin/nologin sixply \
    && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/sixply
# Owned by root: the service cannot change its own code. At the same path, because an environment knows where it lies.
COPY --from=build /opt/sixply /opt/sixply
WORKDIR /opt/sixply
ENV HOME=/var/lib/sixply \
    PATH=/opt/sixply/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SIXPLY__FOUNDATION__DATA_DIR=/var/lib/sixply \
    SIXPLY__SERVING__HTTP__HOST=0.0.0.0 \
    SIXPLY__SERVING__HTTP__PORT=8600
VOLUME ["/var/lib/sixply"]
EXPOSE 8600
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import os, sys; from http.client import HTTPConnection; \
        server = HTTPConnection('127.0.0.1', int(os.environ['SIXPLY__SERVING__HTTP__PORT']), timeout=4); \
        server.request('GET', '/health/ready'); sys.exit(server.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "serving.cli"]
CMD ["serve"]
