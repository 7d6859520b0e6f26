FROM python:3.11-slim-bookworm AS builder
WORKDIR /src
COPY requirements/ requirements/
RUN python -m venv /build-venv \
    && /build-venv/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
    && python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/base.txt
COPY . .
RUN /build-venv/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && /venv/bin/pip install --no-cache-dir --no-deps /dist/zlaq-*.whl

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin zlaq
COPY --from=builder /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /var/empty
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
CMD ["zlaq", "serve"]
