# syntax=docker/dockerfile:1
# One CPU service: docker build --build-arg ROLE=curation -t lima/curation .
# ROLE is an extra of pyproject.toml and a folder of services/: curation, inference, judging, console, operator, cli.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG ROLE
# Beside the default index, for machines that have a mirror or a folder of wheels.
ARG UV_INDEX_URL
ARG UV_FIND_LINKS
WORKDIR /app
COPY pyproject.toml requirements.lock ./
RUN python3 -m venv /uv && /uv/bin/pip install --no-cache-dir "$(grep '^uv==' requirements.lock)"
# The dependencies of one role alone, at the locked versions; the code is copied, not installed.
RUN /uv/bin/uv venv --no-cache .venv && \
    /uv/bin/uv pip install --no-cache --python .venv --compile-bytecode -r pyproject.toml --extra "${ROLE}" -c requirements.lock

FROM ${BASE}
ARG ROLE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lima-${ROLE}" \
      org.opencontainers.image.description="The ${ROLE} service of LIMA" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY images/verify.py verify.py
COPY protos/lima protos/lima
COPY training_jobs training_jobs
COPY services/__init__.py services/__init__.py
COPY services/shared services/shared
COPY services/${ROLE} services/${ROLE}
ENV PATH=/app/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app:/app/protos \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
USER 10001:10001
STOPSIGNAL SIGTERM
# The argument is a module: services.curation, or services.shared.migrate curation.
ENTRYPOINT ["python", "-m"]
