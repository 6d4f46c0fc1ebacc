# One image for every process but the proxy, PostgreSQL and Redis. What it runs is the command: see docker-compose.yml.
# All of Isengard with stand-ins, to try it: docker run --rm -p 8000:8000 IMAGE python -m isengard.supervisor

FROM python:3.11-slim-bookworm AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements.txt constraints.txt ./
RUN /venv/bin/pip install -r requirements.txt

FROM python:3.11-slim-bookworm
# tini passes signals on and collects what the trainer leaves behind.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
# A fixed number, because it owns the files in the volumes: /data, and /models for what ai-toolkit downloads.
RUN useradd --uid 10001 --home-dir /data --shell /usr/sbin/nologin isengard \
    && install --directory --owner isengard --group isengard /data /models
COPY --from=packages /venv /venv
WORKDIR /app
COPY manage.py ./
COPY isengard isengard
COPY training training
COPY generation generation
COPY jobs jobs
COPY characters characters
COPY base_models base_models
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# The settings want a data directory, and the one of the image must stay empty.
RUN ISENGARD_DATA_DIR=/tmp/build python manage.py collectstatic --no-input && rm -rf /tmp/build
ENV ISENGARD_DATA_DIR=/data HOST=0.0.0.0 PORT=8000
USER isengard
VOLUME /data
EXPOSE 8000
# A refusal counts as life: ALLOWED_HOSTS need not know the name by which a container calls itself.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, sys; from isengard.supervisor.health import answers_http; sys.exit(not answers_http('127.0.0.1', int(os.environ['PORT']), '/health'))"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "isengard.server"]
