# The server on a slim Python. Build:  docker build -t marserve .
# What it does with its arguments and how to build on it: docs/docker.md
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS build
RUN python -m venv /opt/model-server
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY archiver archiver
COPY mms mms
RUN /opt/model-server/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM python:${PYTHON_VERSION}-slim
ENV PATH=/opt/model-server/bin:$PATH \
    PYTHONUNBUFFERED=TRUE \
    TEMP=/home/model-server/tmp
RUN useradd --create-home --uid 1000 --user-group model-server \
    && mkdir -p /opt/ml/model /home/model-server/tmp /home/model-server/keys \
    && chown model-server:model-server /opt/ml/model /home/model-server/tmp /home/model-server/keys
COPY --from=build /opt/model-server /opt/model-server
COPY docker/dockerd-entrypoint.sh docker/health_check.py /usr/local/bin/
COPY --chown=model-server:model-server docker/config.properties /home/model-server/

# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 1000:1000
WORKDIR /home/model-server
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/usr/local/bin/health_check.py"]
ENTRYPOINT ["/usr/local/bin/dockerd-entrypoint.sh"]
CMD ["serve"]
