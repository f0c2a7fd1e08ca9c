# One image for every process: `docker run meantime run NAME`. The database comes from MEANTIME_DATABASE_URL.
FROM python:3.13-slim AS build
WORKDIR /app
COPY requirements.lock .
# Exactly what the lock says, checked by hash; pip's own index settings are used as they are.
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md ./
COPY kit kit
COPY ingest ingest
COPY analytics analytics
COPY fsm_core fsm_core
COPY api api
COPY dashboards dashboards
COPY simulators simulators
COPY meantime meantime
COPY benchmarks benchmarks
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin meantime
WORKDIR /app
COPY --from=build /venv /venv
COPY deploy/healthy.py deploy/healthy.py
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER meantime
ENTRYPOINT ["meantime"]
CMD ["--help"]
